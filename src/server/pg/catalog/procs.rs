//! The functions there are, as `pg_proc` lists them: those a statement can call, from the registry of the session, and those
//! that types are made of, which are names only.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::logical_expr::{Documentation, ReturnFieldArgs, Signature, TypeSignature, Volatility};
use datafusion::prelude::SessionContext;

use super::objects::{FIRST_OID, hashed};
use super::spec::{self, TYPE_KEY};
use crate::server::pg::types;

/// Where `Documentation` of a function of `pg_catalog` has the types of its arguments as its example.
pub const SECTION: &str = "pg_catalog";

/// Signatures of a function that are listed; some have hundreds.
const MOST_SIGNATURES: usize = 8;

/// What time series are asked with: name, arguments, result, kind, comment. They are listed in `public`.
const OURS: &[(&str, &str, &str, char, &str)] = &[
    (
        "delta",
        "timestamptz, float8",
        "float8",
        'a',
        "Difference between the last and the first value, as of PromQL's delta().",
    ),
    ("first", "anyelement, timestamptz", "anyelement", 'a', "The value at the earliest time."),
    ("histogram_json", "bytea", "text", 'f', "A native histogram as JSON."),
    ("increase", "timestamptz, float8", "float8", 'a', "Increase of a counter, as of PromQL's increase()."),
    (
        "interpolate",
        "anyelement",
        "anyelement",
        'f',
        "Fills rows of time_bucket_gapfill() between the values around them.",
    ),
    ("last", "anyelement, timestamptz", "anyelement", 'a', "The value at the latest time."),
    (
        "locf",
        "anyelement, bool",
        "anyelement",
        'f',
        "Fills rows of time_bucket_gapfill() with the last value before them.",
    ),
    (
        "promql",
        "text, timestamptz, timestamptz, interval",
        "record",
        't',
        "Rows of a PromQL query over a range of time.",
    ),
    ("promql", "text, timestamptz", "record", 't', "Rows of a PromQL query at a time."),
    ("rate", "timestamptz, float8", "float8", 'a', "Increase of a counter per second, as of PromQL's rate()."),
    (
        "time_bucket",
        "interval, timestamptz, timestamptz",
        "timestamptz",
        'f',
        "The start of the interval a time is in.",
    ),
    (
        "time_bucket_gapfill",
        "interval, timestamptz, timestamptz, timestamptz",
        "timestamptz",
        'f',
        "time_bucket() that also has a row for each interval without one.",
    ),
];

const ANY: u32 = 2276;

#[derive(Debug)]
pub struct Proc {
    pub oid: u32,
    pub name: String,
    pub schema: &'static str,
    /// `f`, `a`, `w`.
    pub kind: &'static str,
    pub returns_set: bool,
    pub volatility: &'static str,
    /// Ids of types.
    pub arguments: Vec<u32>,
    /// The last one any number of times.
    pub variadic: bool,
    pub result: u32,
    pub comment: Option<String>,
}

/// All of them, by name and arguments.
pub struct Procs {
    all: Vec<Proc>,
    by_oid: BTreeMap<u32, usize>,
}

impl Procs {
    pub fn of(context: &SessionContext) -> Self {
        let state = context.state();
        let mut found: Vec<Proc> = ours().collect();
        let is_ours: HashSet<&str> = OURS.iter().map(|row| row.0).collect();
        for (name, function) in state.scalar_functions().iter().filter(|(name, _)| !is_ours.contains(name.as_str()))
        {
            let returns = |arguments: &[FieldRef]| {
                let scalars = vec![None; arguments.len()];
                let asked = ReturnFieldArgs { arg_fields: arguments, scalar_arguments: &scalars };
                function.return_field_from_args(asked).ok().map(|field| type_oid(&field))
            };
            found.extend(listed(name, "f", function.signature(), function.documentation(), &returns));
        }
        for (name, function) in
            state.aggregate_functions().iter().filter(|(name, _)| !is_ours.contains(name.as_str()))
        {
            let returns =
                |arguments: &[FieldRef]| function.return_field(arguments).ok().map(|field| type_oid(&field));
            found.extend(listed(name, "a", function.signature(), function.documentation(), &returns));
        }
        for (name, function) in state.window_functions() {
            found.extend(listed(name, "w", function.signature(), function.documentation(), &|_| None));
        }
        found.extend(of_types());
        Self::new(found)
    }

    fn new(mut all: Vec<Proc>) -> Self {
        all.sort_by(|a, b| (&a.name, &a.arguments, a.kind).cmp(&(&b.name, &b.arguments, b.kind)));
        all.dedup_by(|a, b| a.name == b.name && a.arguments == b.arguments);
        let mut by_oid = BTreeMap::new();
        for (at, proc) in all.iter_mut().enumerate() {
            let mut oid = hashed(&format!("function {}{:?}", proc.name, proc.arguments));
            while by_oid.contains_key(&oid) {
                oid = if oid == i32::MAX as u32 { FIRST_OID + 1 } else { oid + 1 };
            }
            by_oid.insert(oid, at);
            proc.oid = oid;
        }
        Self { all, by_oid }
    }

    pub fn all(&self) -> &[Proc] {
        &self.all
    }

    pub fn by_oid(&self, oid: u32) -> Option<&Proc> {
        self.by_oid.get(&oid).map(|at| &self.all[*at])
    }

    /// Those of a name.
    pub fn named(&self, name: &str) -> &[Proc] {
        let from = self.all.partition_point(|proc| proc.name.as_str() < name);
        let len = self.all[from..].iter().take_while(|proc| proc.name == name).count();
        &self.all[from..from + len]
    }

    /// The id of the first of a name; 0 for `-` and for names there are none of.
    pub fn oid_of(&self, name: &str) -> u32 {
        self.named(name).first().map_or(0, |proc| proc.oid)
    }
}

impl Proc {
    /// As `pg_get_function_arguments` says it.
    pub fn arguments_text(&self) -> String {
        let last = self.arguments.len().wrapping_sub(1);
        let text = |(at, oid): (usize, &u32)| {
            let variadic = if self.variadic && at == last { "VARIADIC " } else { "" };
            format!("{variadic}{}", spec::format_type(*oid, None))
        };
        self.arguments.iter().enumerate().map(text).collect::<Vec<_>>().join(", ")
    }

    pub fn result_text(&self) -> String {
        let set = if self.returns_set { "SETOF " } else { "" };
        format!("{set}{}", spec::format_type(self.result, None))
    }
}

fn ours() -> impl Iterator<Item = Proc> {
    OURS.iter().map(|(name, arguments, result, kind, comment)| Proc {
        oid: 0,
        name: (*name).to_string(),
        schema: "public",
        kind: if *kind == 'a' { "a" } else { "f" },
        returns_set: *kind == 't',
        volatility: if *kind == 't' { "s" } else { "i" },
        arguments: type_oids(arguments),
        variadic: false,
        result: spec::type_named(result).map_or(ANY, |t| t.oid),
        comment: Some((*comment).to_string()),
    })
}

fn type_oids(names: &str) -> Vec<u32> {
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| spec::type_named(name).map_or(ANY, |t| t.oid)).collect()
}

fn type_oid(field: &Field) -> u32 {
    let told = field.metadata().get(TYPE_KEY).and_then(|name| spec::type_named(name));
    told.map_or_else(|| types::pg_type(field.data_type()).oid(), |t| t.oid)
}

/// The rows of a function of the registry: one a signature, or one for any arguments.
fn listed(
    name: &str,
    kind: &'static str,
    signature: &Signature,
    documentation: Option<&Documentation>,
    returns: &dyn Fn(&[FieldRef]) -> Option<u32>,
) -> Vec<Proc> {
    let volatility = match signature.volatility {
        Volatility::Immutable => "i",
        Volatility::Stable => "s",
        Volatility::Volatile => "v",
    };
    let row = |arguments: Vec<u32>, variadic: bool, result: Option<u32>, comment: Option<String>| Proc {
        oid: 0,
        name: name.to_string(),
        schema: spec::PG_CATALOG,
        kind,
        returns_set: false,
        volatility,
        arguments,
        variadic,
        result: result.unwrap_or(ANY),
        comment,
    };
    if let Some(told) = documentation.filter(|d| d.doc_section.label == SECTION) {
        let arguments = type_oids(&told.syntax_example);
        let fields: Vec<FieldRef> = arguments.iter().map(|_| argument(&DataType::Utf8)).collect();
        return vec![row(arguments, false, returns(&fields), None)];
    }
    let comment = documentation.map(|d| d.description.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut seen = BTreeSet::new();
    let mut rows = vec![];
    for example in signature.type_signature.get_example_types().into_iter().take(64) {
        let arguments: Vec<u32> = example.iter().map(|data_type| types::pg_type(data_type).oid()).collect();
        if rows.len() < MOST_SIGNATURES && seen.insert(arguments.clone()) {
            let fields: Vec<FieldRef> = example.iter().map(argument).collect();
            rows.push(row(arguments, false, returns(&fields), comment.clone()));
        }
    }
    if rows.is_empty() {
        rows.push(match signature.type_signature {
            TypeSignature::Nullary => row(vec![], false, returns(&[]), comment),
            _ => row(vec![ANY], true, None, comment),
        });
    }
    rows
}

fn argument(data_type: &DataType) -> FieldRef {
    Arc::new(Field::new("argument", data_type.clone(), true))
}

/// Functions by which types are read and written, named in `pg_type`.
fn of_types() -> Vec<Proc> {
    const CSTRING: u32 = 2275;
    const INTERNAL: u32 = 2281;
    const BYTEA: u32 = 17;
    let mut rows: Vec<Proc> = vec![];
    let mut seen = HashSet::new();
    for t in spec::types() {
        let [input, output, receive, send, subscript, modin, modout] = t.functions;
        let cases = [
            (input, CSTRING, t.oid),
            (output, t.oid, CSTRING),
            (receive, INTERNAL, t.oid),
            (send, t.oid, BYTEA),
            (subscript, INTERNAL, INTERNAL),
            (modin, CSTRING, 23),
            (modout, 23, CSTRING),
        ];
        for (name, argument, result) in cases {
            if name != "-" && seen.insert(name) {
                rows.push(Proc {
                    oid: 0,
                    name: name.to_string(),
                    schema: spec::PG_CATALOG,
                    kind: "f",
                    returns_set: false,
                    volatility: "i",
                    arguments: vec![argument],
                    variadic: false,
                    result,
                    comment: None,
                });
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_by_id_and_name() {
        let procs = Procs::of(&SessionContext::new());
        let receive = procs.named("boolrecv");
        assert_eq!(receive.len(), 1);
        assert_eq!(procs.by_oid(receive[0].oid).unwrap().name, "boolrecv");
        assert_eq!(procs.oid_of("-"), 0);
        let promql = &procs.named("promql")[0];
        assert_eq!((promql.schema, promql.returns_set), ("public", true));
        assert_eq!(promql.arguments_text(), "text, timestamp with time zone");
        // Every function has an id of its own, the same each time.
        let again = Procs::of(&SessionContext::new());
        assert_eq!(procs.by_oid.len(), procs.all.len());
        assert!(procs.all.iter().zip(&again.all).all(|(a, b)| a.oid == b.oid && a.name == b.name));
        assert_eq!(procs.named("now")[0].arguments_text(), "");
        assert!(procs.named("date_bin").iter().any(|proc| proc.arguments.len() >= 2));
    }
}
