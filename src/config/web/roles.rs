//! `promlake:` of the web configuration file: which users have which role, and what a role is limited to. Prometheus knows
//! no such section.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use crate::config::http::line_of;
use crate::config::mistake::Found;
use crate::config::schema::{Kind, Schema, below, field};
use crate::config::values;
use crate::config::yaml::Node;

pub static PROMLAKE: Schema =
    Schema { name: "promlake", fields: &[&[field("roles", Kind::Section(&ROLES)), field("access", Kind::Any)]] };

static ROLES: Schema = Schema {
    name: "roles",
    fields: &[&[
        field("reader", Kind::Section(&ROLE)),
        field("writer", Kind::Section(&ROLE)),
        field("admin", Kind::Section(&ROLE)),
    ]],
};

static ROLE: Schema = Schema {
    name: "a role",
    fields: &[&[
        field("users", Kind::List(&Kind::Text)),
        field("statement_timeout", Kind::Duration),
        field("max_rows", Kind::Any),
        field("memory", Kind::Any),
        field("metrics", Kind::Any),
    ]],
};

/// Keys that are meant to be there one day. A limit that is read and does not hold would be worse than none.
const NOT_BUILT: &[&str] = &["max_rows", "memory", "metrics"];

/// What a user may do; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To ask.
    Reader,
    /// To send samples.
    Writer,
    /// To reload and stop the server, and to see and end what others do.
    Admin,
}

const ALL: [Role; 3] = [Role::Reader, Role::Writer, Role::Admin];

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Admin => "admin",
        })
    }
}

/// What a user was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub role: Role,
    /// Of a statement, or a query.
    pub statement_timeout: Option<Duration>,
}

/// By user.
pub type Grants = HashMap<String, Grant>;

/// What each of the users was given; `None` where the file has no roles. Each has exactly one, so that nobody is forgotten.
pub(super) fn read(section: &Node, users: &[&str], found: &Found) -> Option<Grants> {
    if section.get("access").is_some() {
        found.add(line_of(section, "access"), "promlake.access", "access by address is not built yet");
    }
    let roles = section.get("roles").filter(|node| !node.is_null())?;
    let mut grants = Grants::new();
    for role in ALL {
        let name = role.to_string();
        let Some(given) = roles.get(&name) else { continue };
        let path = below("promlake.roles", &name);
        for key in NOT_BUILT.iter().filter(|key| given.get(key).is_some()) {
            found.add(line_of(given, key), &below(&path, key), "this limit of a role is not built yet");
        }
        let statement_timeout = Some(values::duration_ms(given, "statement_timeout", 0));
        let statement_timeout = statement_timeout.filter(|ms| *ms > 0).map(|ms| Duration::from_millis(ms as u64));
        for user in given.get("users").map(Node::items).unwrap_or_default() {
            let add = |message: String| found.add(user.line, &below(&path, "users"), message);
            let Some(text) = user.text() else { continue };
            if !users.contains(&text) {
                add(format!("there is no user {text:?} in basic_auth_users"));
            } else if let Some(other) = grants.insert(text.to_string(), Grant { role, statement_timeout }) {
                add(format!("the user {text:?} is {} already", other.role));
            }
        }
    }
    for user in users.iter().filter(|user| !grants.contains_key(**user)) {
        let message = format!("the user {user:?} has no role: name it among the users of reader, writer or admin");
        found.add(roles.line, "promlake.roles", message);
    }
    Some(grants)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::web::WebConfig;

    fn parse(text: &str) -> Result<WebConfig, String> {
        let hash = "$2y$10$rC4X9ThyEhQeRO4qQUqPbOqT1X63lbM61QZWFhm3uUxuOhx5nd8sy";
        let text = format!("basic_auth_users:\n  ada: {hash}\n  bob: {hash}\n{text}");
        let read = WebConfig::parse(&text, std::path::Path::new(""), &mut |_| vec![]);
        read.map_err(|mistakes| mistakes.shown("w.yml"))
    }

    #[test]
    fn who_has_which_role() {
        let text = "promlake:\n  roles:\n    admin: {users: [ada]}\n    \
                    reader:\n      users: [bob]\n      statement_timeout: 30s\n";
        let grants = parse(text).unwrap().grants.unwrap();
        let timeout = Some(Duration::from_secs(30));
        assert_eq!(grants["ada"], Grant { role: Role::Admin, statement_timeout: None });
        assert_eq!(grants["bob"], Grant { role: Role::Reader, statement_timeout: timeout });
        for none in ["", "promlake:\n", "promlake: {}\n", "promlake:\n  roles:\n"] {
            assert!(parse(none).unwrap().grants.is_none(), "{none}");
        }
        assert!(Role::Reader < Role::Writer && Role::Writer < Role::Admin);
    }

    #[test]
    fn what_is_refused() {
        let check = |roles: &str, expected: &str| {
            let told = parse(&format!("promlake:\n  roles:\n{roles}")).err().unwrap_or_default();
            assert_eq!(told, expected, "{roles}");
        };
        let both = "    reader: {users: [ada, bob]}\n";
        check(both, "");
        check(
            "    reader: {users: [ada]}\n",
            "w.yml:6: promlake.roles: the user \"bob\" has no role: name it among the users of reader, writer or admin",
        );
        check(
            &format!("{both}    admin: {{users: [eve]}}\n"),
            "w.yml:7: promlake.roles.admin.users: there is no user \"eve\" in basic_auth_users",
        );
        check(
            &format!("{both}    admin:\n      users: [bob]\n"),
            "w.yml:8: promlake.roles.admin.users: the user \"bob\" is reader already",
        );
        check(
            &format!("{both}    owner: {{users: [bob]}}\n"),
            "w.yml:7: promlake.roles.owner: field owner not found in roles",
        );
        check(
            "    reader: {users: [ada, bob], metrics: ['{job=\"x\"}']}\n",
            "w.yml:6: promlake.roles.reader.metrics: this limit of a role is not built yet",
        );
        check(
            "    reader: {users: [ada, bob], statement_timeout: soon}\n",
            "w.yml:6: promlake.roles.reader.statement_timeout: not a valid duration string: \"soon\"",
        );
        let told = parse("promlake:\n  access: []\n").err().unwrap_or_default();
        assert_eq!(told, "w.yml:5: promlake.access: access by address is not built yet");
        let told = parse("promlake:\n  nope: 1\n").err().unwrap_or_default();
        assert_eq!(told, "w.yml:5: promlake.nope: field nope not found in promlake");
    }
}
