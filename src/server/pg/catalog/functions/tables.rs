//! Functions with rows, of constants.

use std::sync::{Arc, Weak};

use datafusion::arrow::array::{RecordBatch, StringArray};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{MemTable, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::sql::sqlparser::keywords;

use crate::server::pg::catalog::spec;
use crate::server::pg::session::{DATABASE, Session};

pub fn register(session: &Arc<Session>) {
    session.context().register_udtf("pg_get_keywords", Arc::new(Keywords));
    session.context().register_udtf("pg_show_all_settings", Arc::new(Settings(Arc::downgrade(session))));
}

#[derive(Debug)]
struct Keywords;

impl TableFunctionImpl for Keywords {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        none(&args, "pg_get_keywords")?;
        let reserved: Vec<String> = keywords::RESERVED_FOR_COLUMN_ALIAS
            .iter()
            .map(|word| format!("{word:?}").to_ascii_lowercase())
            .collect();
        let words: Vec<String> = keywords::ALL_KEYWORDS.iter().map(|word| word.to_ascii_lowercase()).collect();
        let codes = words.iter().map(|word| if reserved.contains(word) { "R" } else { "U" });
        let kinds = words.iter().map(|word| if reserved.contains(word) { "reserved" } else { "unreserved" });
        let fields = [("word", "text"), ("catcode", "char"), ("catdesc", "text")];
        let schema: SchemaRef =
            Arc::new(Schema::new(fields.map(|(name, type_name)| spec::field(name, type_name)).to_vec()));
        let batch = RecordBatch::try_new(
            schema.clone(),
            vec![
                Arc::new(words.iter().map(Some).collect::<StringArray>()),
                Arc::new(StringArray::from_iter_values(codes)),
                Arc::new(StringArray::from_iter_values(kinds)),
            ],
        )?;
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
    }
}

/// The relation `pg_settings`.
struct Settings(Weak<Session>);

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Settings")
    }
}

impl TableFunctionImpl for Settings {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        none(&args, "pg_show_all_settings")?;
        let gone = || DataFusionError::Execution("the connection has ended".into());
        let session = self.0.upgrade().ok_or_else(gone)?;
        let schema =
            session.context().catalog(DATABASE).and_then(|c| c.schema(spec::PG_CATALOG)).ok_or_else(gone)?;
        // The table is made without waiting for anything.
        futures::executor::block_on(schema.table("pg_settings"))?.ok_or_else(gone)
    }
}

fn none(args: &TableFunctionArgs, name: &str) -> Result<()> {
    match args.exprs() {
        [] => Ok(()),
        _ => Err(DataFusionError::Plan(format!("{name}() takes no arguments"))),
    }
}
