//! `--http.config.file` of commands that ask a server: the keys of a section, at the top of a file of their own.

use std::path::Path;

use crate::config::http::{FIELDS, HttpConfig, check};
use crate::config::mistake::{Found, Mistakes};
use crate::config::schema::Schema;
use crate::config::yaml;
use crate::error::{Context, ErrorKind, Result};

static FILE: Schema = Schema { name: "the HTTP configuration", fields: &[FIELDS] };

impl HttpConfig {
    /// Reads and checks a file; its paths are relative to it.
    ///
    /// # Errors
    /// All that is wrong, a line each.
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).context(ErrorKind::BadInput, || format!("reading {name}"))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, directory).map_err(|mistakes| mistakes.into_error(&name))
    }

    fn parse(text: &str, directory: &Path) -> std::result::Result<Self, Mistakes> {
        let (mut root, twice) = yaml::parse(text).map_err(Mistakes::one)?;
        let found = Found::default();
        twice.into_iter().for_each(|fault| found.add_fault(fault));
        FILE.check(&root, "", &found);
        check(&root, "", &[], &found);
        found.into_result()?;
        FILE.join_paths(&mut root, directory);
        Ok(Self::read(&root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::http::{Authorization, Secret};

    #[test]
    fn files() {
        let parse =
            |text: &str| HttpConfig::parse(text, Path::new("/etc")).map_err(|mistakes| mistakes.shown("h.yml"));
        assert_eq!(parse(""), Ok(HttpConfig::default()));
        let config = parse("basic_auth:\n  username: ada\n  password_file: secret\n").unwrap();
        let expected = Authorization::Basic {
            username: Secret::Text("ada".into()),
            password: Secret::File("/etc/secret".into()),
        };
        assert_eq!(config.authorization, expected);
        let told = parse("basic_auths: {}\nbasic_auth: {username: a}\nauthorization: {}\n").unwrap_err();
        assert_eq!(
            told,
            "h.yml:1: basic_auths: field basic_auths not found in the HTTP configuration, is basic_auth meant?\n\
             h.yml:3: authorization: at most one of basic_auth, oauth2 & authorization must be configured"
        );
    }
}
