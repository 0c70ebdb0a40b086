//! Relations and types as PostgreSQL has them: names, columns, ids, from the tables in `sql/pg_catalog`. What is in them
//! here, [`super::sources`] says.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};

/// The schemas of PostgreSQL's own relations.
pub const PG_CATALOG: &str = "pg_catalog";
pub const INFORMATION_SCHEMA: &str = "information_schema";

/// What metadata of a field tells its type by, where several of PostgreSQL's are one of Arrow's.
pub const TYPE_KEY: &str = "pg_type";

/// Types whose values are ids and print as names.
pub const REG_TYPES: &[&str] = &[
    "regclass",
    "regcollation",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
];

pub struct Relation {
    pub schema: &'static str,
    pub name: &'static str,
    pub is_view: bool,
    /// Where clients may know it.
    pub oid: Option<u32>,
    pub columns: Vec<Column>,
}

pub struct Column {
    pub name: &'static str,
    pub type_name: &'static str,
    pub nullable: bool,
}

/// A row of `pg_type`.
pub struct Type {
    pub oid: u32,
    pub name: &'static str,
    /// Bytes, or -1.
    pub len: i16,
    pub by_value: bool,
    pub kind: &'static str,
    pub category: &'static str,
    pub preferred: bool,
    /// Of an array.
    pub element: u32,
    pub array: u32,
    pub align: &'static str,
    pub storage: &'static str,
    pub collation: u32,
    /// `typinput typoutput typreceive typsend typsubscript typmodin typmodout`, `-` for none.
    pub functions: [&'static str; 7],
}

/// By schema and name.
static RELATIONS: LazyLock<Vec<Relation>> = LazyLock::new(|| {
    let text = include_str!("../../../../sql/pg_catalog/relations.txt");
    let mut relations: Vec<Relation> = lines(text).map(parse_relation).collect();
    relations.sort_unstable_by_key(|r| (r.schema, r.name));
    relations
});

static TYPES: LazyLock<Vec<Type>> = LazyLock::new(|| {
    let text = include_str!("../../../../sql/pg_catalog/types.txt");
    lines(text).map(parse_type).collect()
});

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

fn parse_relation(line: &'static str) -> Relation {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or("");
    let (schema, name) = match name.strip_prefix("information_schema.") {
        Some(name) => (INFORMATION_SCHEMA, name),
        None => (PG_CATALOG, name),
    };
    let kind = words.next().unwrap_or("");
    let columns = words.map(|word| {
        let (name, type_name) = word.split_once(':').unwrap_or((word, "text"));
        let nullable = type_name.ends_with('?');
        Column { name, type_name: type_name.trim_end_matches('?'), nullable }
    });
    let columns = columns.collect();
    Relation { schema, name, is_view: kind.starts_with('v'), oid: kind[1..].parse().ok(), columns }
}

fn parse_type(line: &'static str) -> Type {
    let words: Vec<&'static str> = line.split(' ').collect();
    let [oid, name, len, by_value, kind, category, preferred, element, array, rest @ ..] = words.as_slice() else {
        unreachable!("a line has all columns: {line}")
    };
    let [input, output, receive, send, align, storage, collation, subscript, modin, modout] = rest else {
        unreachable!("a line has all columns: {line}")
    };
    let number = |word: &str| word.parse().unwrap_or(0);
    Type {
        oid: number(oid),
        name,
        len: len.parse().unwrap_or(-1),
        by_value: *by_value == "t",
        kind,
        category,
        preferred: *preferred == "t",
        element: number(element),
        array: number(array),
        align,
        storage,
        collation: number(collation),
        functions: [input, output, receive, send, subscript, modin, modout],
    }
}

pub fn relation(schema: &str, name: &str) -> Option<&'static Relation> {
    let at = RELATIONS.binary_search_by(|r| (r.schema, r.name).cmp(&(schema, name))).ok()?;
    RELATIONS.get(at)
}

/// All of them, by schema and name.
pub fn relations() -> impl Iterator<Item = &'static Relation> {
    RELATIONS.iter()
}

/// Whether it is one of `pg_catalog`, whose names are resolved without their schema.
pub fn is_relation(name: &str) -> bool {
    relation(PG_CATALOG, name).is_some()
}

/// The type of columns of this name in `pg_catalog`, where all of them have the same.
pub fn column_type(name: &str) -> Option<&'static str> {
    static COLUMNS: LazyLock<HashMap<&str, Option<&'static str>>> = LazyLock::new(|| {
        let mut types: HashMap<&str, Option<&'static str>> = HashMap::new();
        for column in relations().filter(|r| r.schema == PG_CATALOG).flat_map(|r| &r.columns) {
            let found = types.entry(column.name).or_insert(Some(column.type_name));
            if *found != Some(column.type_name) {
                *found = None;
            }
        }
        types
    });
    *COLUMNS.get(name)?
}

pub fn types() -> &'static [Type] {
    &TYPES
}

pub fn type_of(oid: u32) -> Option<&'static Type> {
    TYPES.iter().find(|t| t.oid == oid)
}

/// By a name as `pg_type` has it, or as SQL writes it.
pub fn type_named(name: &str) -> Option<&'static Type> {
    let name = name.trim();
    if let Some(element) = name.strip_suffix("[]") {
        let array = type_named(element)?.array;
        return type_of(array);
    }
    let base = name.split('(').next().unwrap_or(name).trim().to_ascii_lowercase();
    let base = base.strip_prefix("pg_catalog.").unwrap_or(&base).trim_matches('"');
    let is_quoted = name.ends_with('"');
    let known = SQL_NAMES.iter().find(|(_, sql)| *sql == base && !is_quoted).map(|(name, _)| *name);
    let aliases = [("int", "int4"), ("decimal", "numeric"), ("float", "float8"), ("timestamp", "timestamp")];
    let alias = aliases.iter().find(|(alias, _)| *alias == base).map(|(_, name)| *name);
    let name = known.or(alias).unwrap_or(base);
    TYPES.iter().find(|t| t.name == name)
}

/// Types that SQL calls otherwise than `pg_type`.
const SQL_NAMES: &[(&str, &str)] = &[
    ("bool", "boolean"),
    ("int2", "smallint"),
    ("int4", "integer"),
    ("int8", "bigint"),
    ("float4", "real"),
    ("float8", "double precision"),
    ("varchar", "character varying"),
    ("bpchar", "character"),
    ("time", "time without time zone"),
    ("timetz", "time with time zone"),
    ("timestamp", "timestamp without time zone"),
    ("timestamptz", "timestamp with time zone"),
];

/// What `format_type` says.
pub fn format_type(oid: u32, modifier: Option<i32>) -> String {
    if oid == 0 {
        return "-".into();
    }
    let Some(found) = type_of(oid) else { return "???".into() };
    if found.is_array() {
        return format!("{}[]", format_type(found.element, modifier));
    }
    let name = SQL_NAMES.iter().find(|(name, _)| *name == found.name).map(|(_, sql)| *sql);
    let name = match found.name {
        "char" | "any" => return format!("\"{}\"", found.name),
        other => name.unwrap_or(other),
    };
    let Some(modifier) = modifier.filter(|m| *m >= 0) else { return name.to_string() };
    match found.name {
        "varchar" | "bpchar" if modifier > 4 => format!("{name}({})", modifier - 4),
        "numeric" if modifier > 4 => {
            format!("numeric({},{})", ((modifier - 4) >> 16) & 0xffff, (modifier - 4) & 0x7ff)
        }
        "time" | "timetz" | "timestamp" | "timestamptz" => match name.split_once(' ') {
            Some((word, rest)) => format!("{word}({modifier}) {rest}"),
            None => name.to_string(),
        },
        _ => name.to_string(),
    }
}

/// What stands for a type here.
pub fn arrow_type(type_name: &str) -> DataType {
    let list = |element: &str| DataType::List(Arc::new(Field::new_list_field(arrow_type(element), true)));
    match type_name {
        "bool" => DataType::Boolean,
        "int2" => DataType::Int16,
        "int4" => DataType::Int32,
        "int8" => DataType::Int64,
        "oid" | "xid" => DataType::UInt32,
        "float4" => DataType::Float32,
        "float8" => DataType::Float64,
        "numeric" => DataType::Decimal128(38, 0),
        "bytea" => DataType::Binary,
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        "int2vector" => list("int2"),
        "oidvector" => list("oid"),
        name if REG_TYPES.contains(&name) => DataType::UInt32,
        name => match name.strip_prefix('_') {
            Some(element) => list(element),
            None => DataType::Utf8,
        },
    }
}

/// A field that tells its type.
pub fn field(name: &str, type_name: &str) -> Field {
    let field = Field::new(name, arrow_type(type_name), true);
    field.with_metadata(HashMap::from([(TYPE_KEY.to_string(), type_name.to_string())]))
}

impl Type {
    /// Whether it is `element[]`; vectors are not, though they have elements.
    pub fn is_array(&self) -> bool {
        type_of(self.element).is_some_and(|element| element.array == self.oid)
    }
}

impl Relation {
    pub fn arrow_schema(&self) -> SchemaRef {
        let fields: Vec<Field> = self.columns.iter().map(|c| field(c.name, c.type_name)).collect();
        Arc::new(Schema::new(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_have_their_columns_in_order() {
        let class = relation(PG_CATALOG, "pg_class").unwrap();
        assert_eq!((class.oid, class.is_view, class.columns[1].name), (Some(1259), false, "relname"));
        assert_eq!(relation(INFORMATION_SCHEMA, "columns").unwrap().columns[4].name, "ordinal_position");
        assert!(is_relation("pg_stat_activity") && !is_relation("columns"));
        assert_eq!(column_type("indisprimary"), Some("bool"));
        assert_eq!(column_type("indkey"), Some("int2vector"));
        for relation in relations() {
            assert!(!relation.columns.is_empty(), "{}", relation.name);
        }
    }

    #[test]
    fn types_print_as_in_sql() {
        let cases = [
            (16, None, "boolean"),
            (18, None, "\"char\""),
            (19, None, "name"),
            (701, Some(-1), "double precision"),
            (1009, None, "text[]"),
            (22, None, "int2vector"),
            (1043, Some(24), "character varying(20)"),
            (1700, Some(((18 << 16) | 4) + 4), "numeric(18,4)"),
            (1184, Some(3), "timestamp(3) with time zone"),
            (1185, None, "timestamp with time zone[]"),
            (0, None, "-"),
            (4_000_000, None, "???"),
        ];
        for (oid, modifier, want) in cases {
            assert_eq!(format_type(oid, modifier), want);
        }
        for (name, oid) in
            [("int4", 23), ("integer", 23), ("double precision", 701), ("text[]", 1009), ("_text", 1009)]
        {
            assert_eq!(type_named(name).unwrap().oid, oid, "{name}");
        }
        assert!(type_named("hstore").is_none());
    }
}
