//! Schema `external`: files of the configuration as tables. They are looked up when a statement names them, so that what is
//! missing or broken fails that statement alone, and its error names the table and nothing of the server's files.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::session_state::SessionState;
use url::Url;

use crate::config::web::external::{ExternalTable, Format, Root};
use crate::engine::sql::catalog::external;
use crate::engine::sql::verify::{Reason, Refused};
use crate::error::{Error, ErrorKind};
use crate::storage::object;

/// The tables of the configuration, as it is now.
pub type ListExternal = Arc<dyn Fn() -> Vec<ExternalTable> + Send + Sync>;

pub struct ExternalSchema {
    pub state: SessionState,
    pub tables: ListExternal,
    /// `None`: all of them.
    pub only: Option<Arc<[String]>>,
}

impl ExternalSchema {
    fn shows(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|listed| listed == name))
    }
}

impl fmt::Debug for ExternalSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExternalSchema")
    }
}

#[async_trait]
impl SchemaProvider for ExternalSchema {
    fn table_names(&self) -> Vec<String> {
        let names = (self.tables)().into_iter().map(|table| table.name);
        names.filter(|name| self.shows(name)).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(table) = (self.tables)().into_iter().find(|table| table.name == name) else { return Ok(None) };
        if !self.shows(name) {
            let message =
                format!("permission denied for table {name}: it is none of the user's role (external_tables)");
            return Err(DataFusionError::External(Box::new(Refused { reason: Reason::Forbidden, message })));
        }
        Ok(Some(open(&self.state, &table).await.map_err(external)?))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|n| n == name)
    }
}

async fn open(state: &SessionState, table: &ExternalTable) -> Result<Arc<dyn TableProvider>, Error> {
    let name = &table.name;
    let unreadable = |why: &str| Error::new(ErrorKind::Execution, format!("external table {name:?} {why}"));
    let url = match &table.root {
        Root::Folder(folder) => file(folder.clone(), &table.path).await.map_err(unreadable)?,
        Root::Bucket(bucket) => {
            let url = in_bucket(state, bucket, &table.path);
            url.map_err(|error| {
                tracing::warn!(table = %name, %error, "an external table cannot be read");
                unreadable("cannot be read")
            })?
        }
    };
    let read: Result<ListingTable> = async {
        let url = ListingTableUrl::parse(url.as_str())?;
        let format: Arc<dyn FileFormat> = match table.format {
            Format::Parquet => Arc::new(ParquetFormat::default().with_force_view_types(false)),
            Format::Csv => Arc::new(CsvFormat::default().with_has_header(true)),
        };
        let options = ListingOptions::new(format).with_file_extension("");
        let schema = options.infer_schema(state, &url).await?;
        let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
        ListingTable::try_new(config)
    }
    .await;
    match read {
        Ok(listing) => Ok(Arc::new(listing)),
        // What it says is for whoever runs the server.
        Err(error) => {
            tracing::warn!(table = %name, %error, "an external table cannot be read");
            let format = if table.format == Format::Csv { "CSV" } else { "Parquet" };
            Err(unreadable(&format!("cannot be read as {format}")))
        }
    }
}

/// The file itself, below its folder whatever links there are on the way.
async fn file(folder: PathBuf, path: &str) -> Result<Url, &'static str> {
    let path = folder.join(path);
    let look = move || {
        let missing = |_| "has no file";
        let (folder, path) = (folder.canonicalize().map_err(missing)?, path.canonicalize().map_err(missing)?);
        if !path.starts_with(&folder) {
            return Err("lies outside of its location");
        }
        match path.is_file() {
            true => Url::from_file_path(&path).map_err(|()| "has no file"),
            false => Err("is no file"),
        }
    };
    tokio::task::spawn_blocking(look).await.unwrap_or(Err("cannot be read"))
}

/// An object of a bucket, which is opened once.
fn in_bucket(state: &SessionState, bucket: &str, path: &str) -> Result<Url, Error> {
    let name: String = bucket.bytes().map(|byte| format!("{byte:02x}")).collect();
    let wrong = |_| Error::internal("an external location has no URL");
    let mut url = Url::parse(&format!("promlake-external://{name}/")).map_err(wrong)?;
    let environment = state.runtime_env();
    if environment.object_store_registry.get_store(&url).is_err() {
        environment.register_object_store(&url, object::open(bucket)?.store);
    }
    url.set_path(path);
    Ok(url)
}
