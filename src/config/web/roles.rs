//! `promlake.roles` of the web configuration file: which users have which role, and what a role is limited to.

use crate::config::http::line_of;
use crate::config::mistake::Found;
use crate::config::schema::{Kind, Schema, below, field};
use crate::config::web::allowed::{self, Allowed};
use crate::config::yaml::Node;
use std::collections::HashMap;
use std::fmt;

pub(super) static ROLES: Schema = Schema {
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
        field("max_rows", Kind::Integer),
        field("memory", Kind::Text),
        field("metrics", Kind::Text),
        field("external_tables", Kind::List(&Kind::Text)),
    ]],
};

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

pub(super) const ALL: [Role; 3] = [Role::Reader, Role::Writer, Role::Admin];

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub role: Role,
    pub allowed: Allowed,
}

/// By user.
pub type Grants = HashMap<String, Grant>;

/// What each of the users was given; `None` where the file has no roles. Each has exactly one, so that nobody is forgotten.
pub(super) fn read(section: &Node, users: &[&str], found: &Found) -> Option<Grants> {
    let roles = section.get("roles").filter(|node| !node.is_null())?;
    let mut grants = Grants::new();
    for role in ALL {
        let name = role.to_string();
        let Some(given) = roles.get(&name) else { continue };
        let path = below("promlake.roles", &name);
        let allowed = allowed::read(given, &path, found);
        if role == Role::Admin && allowed.metrics.is_some() {
            let message = "an admin sees everything that there is, also where no matcher could hide it";
            found.add(line_of(given, "metrics"), &below(&path, "metrics"), message);
        }
        for user in given.get("users").map(Node::items).unwrap_or_default() {
            let add = |message: String| found.add(user.line, &below(&path, "users"), message);
            let Some(text) = user.text() else { continue };
            if !users.contains(&text) {
                add(format!("there is no user {text:?} in basic_auth_users"));
            } else if let Some(other) = grants.insert(text.to_string(), Grant { role, allowed: allowed.clone() }) {
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
    use std::time::Duration;

    use super::*;
    use crate::config::web::WebConfig;
    use crate::model::matcher::Matcher;

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
        let allowed = Allowed { statement_timeout: Some(Duration::from_secs(30)), ..Allowed::default() };
        assert_eq!(grants["ada"], Grant { role: Role::Admin, allowed: Allowed::default() });
        assert_eq!(grants["bob"], Grant { role: Role::Reader, allowed });
        for none in ["", "promlake:\n", "promlake: {}\n", "promlake:\n  roles:\n"] {
            assert!(parse(none).unwrap().grants.is_none(), "{none}");
        }
        assert!(Role::Reader < Role::Writer && Role::Writer < Role::Admin);
    }

    #[test]
    fn what_a_role_is_limited_to() {
        let text = "promlake:\n  roles:\n    reader:\n      users: [ada, bob]\n      max_rows: 1000\n      \
                    memory: 64MiB\n      metrics: '{__name__=~\"shop_.*\", team=\"a\"}'\n";
        let allowed = parse(text).unwrap().grants.unwrap()["ada"].allowed.clone();
        let metrics = allowed.metrics.as_deref().unwrap();
        assert_eq!((allowed.max_rows, allowed.memory, metrics.len()), (Some(1000), Some(64 << 20), 2));
        assert!(metrics.contains(&Matcher::equal("team", "a")), "{metrics:?}");
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
        for (limit, wrong) in [
            ("max_rows: 0", "max_rows: expected a whole number above 0"),
            ("max_rows: -1", "max_rows: expected a whole number above 0"),
            ("memory: 0", "memory: expected a size above 0"),
            ("metrics: ''", "metrics: expected a selector of series, such as '{team=\"a\"}'"),
        ] {
            check(
                &format!("    reader: {{users: [ada, bob], {limit}}}\n"),
                &format!("w.yml:6: promlake.roles.reader.{wrong}"),
            );
        }
        for (limit, wrong) in [
            ("memory: much", "memory: not a valid size"),
            ("metrics: '{team=~\"(\"}'", "metrics: not a selector of series: "),
            ("metrics: '{}'", "metrics: not a selector of series: "),
            ("metrics: 'rate(up[5m])'", "metrics: not a selector of series: "),
        ] {
            let text = format!("promlake:\n  roles:\n    reader: {{users: [ada, bob], {limit}}}\n");
            let told = parse(&text).err().unwrap_or_default();
            assert!(told.starts_with(&format!("w.yml:6: promlake.roles.reader.{wrong}")), "{limit}: {told}");
        }
        check(
            "    reader: {users: [bob]}\n    admin: {users: [ada], metrics: '{team=\"a\"}'}\n",
            "w.yml:7: promlake.roles.admin.metrics: an admin sees everything that there is, also where no matcher \
             could hide it",
        );
        check(
            "    reader: {users: [ada, bob], statement_timeout: soon}\n",
            "w.yml:6: promlake.roles.reader.statement_timeout: not a valid duration string: \"soon\"",
        );
        let told = parse("promlake:\n  nope: 1\n").err().unwrap_or_default();
        assert_eq!(told, "w.yml:5: promlake.nope: field nope not found in promlake");
    }
}
