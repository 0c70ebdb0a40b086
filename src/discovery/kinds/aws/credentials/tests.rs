use super::*;

fn chain(keys: [&str; 3], env: fn(&str) -> Option<String>) -> Chain {
    let clock: crate::storage::store::Clock = std::sync::Arc::new(|| 0);
    Chain::new(keys, &way::Context { clock, stats: std::sync::Arc::default(), env })
}

fn keys(source: Source) -> (String, String, String) {
    match source {
        Source::Keys(Found { credentials, .. }) => {
            (credentials.access_key, credentials.secret_key, credentials.token)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn sections_of_files() {
    let text = "[default]\naws_access_key_id = a\n# no\n; no\nregion=eu\n s3 =\n   max = 1\n[profile x]\nregion = us\n[other]\n";
    let check = |section: &str, want: Option<&[(&str, &str)]>| {
        let want =
            want.map(|pairs| pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect());
        assert_eq!(section_of(text, section), want, "{section}");
    };
    check("default", Some(&[("aws_access_key_id", "a"), ("region", "eu")]));
    check("profile x", Some(&[("region", "us")]));
    check("other", Some(&[]));
    check("none", None);
}

#[tokio::test]
async fn the_entry_comes_first_then_the_environment() {
    let env = |name: &str| match name {
        "AWS_ACCESS_KEY_ID" => Some("e".to_string()),
        "AWS_SECRET_ACCESS_KEY" => Some("s".to_string()),
        "AWS_SESSION_TOKEN" => Some("t".to_string()),
        "AWS_DEFAULT_REGION" => Some("eu-west-3".to_string()),
        _ => None,
    };
    let texts = |a: &str, b: &str, c: &str| (a.to_string(), b.to_string(), c.to_string());
    assert_eq!(keys(chain(["a", "b", ""], env).find().await.unwrap()), texts("a", "b", ""));
    assert_eq!(keys(chain(["a", "", ""], env).find().await.unwrap()), texts("e", "s", "t"));
    assert_eq!(chain(["", "", ""], env).region().await.unwrap(), "eu-west-3");
    let error = chain(["", "", "missing"], env).find().await.unwrap_err().to_string();
    assert_eq!(error, "failed to get shared config profile, missing");
}

#[tokio::test]
async fn the_keys_are_in_no_text() {
    let chain = chain(["AKIA1", "verysecret", ""], |_| None);
    let shown = format!("{:?}", chain.find().await.unwrap());
    assert!(!shown.contains("AKIA1") && !shown.contains("verysecret"), "{shown}");
}

#[test]
fn keys_of_a_role() {
    let text = "<AssumeRoleResponse xmlns=\"x\"><AssumeRoleResult><Credentials><AccessKeyId>a</AccessKeyId>\
                <SecretAccessKey>b</SecretAccessKey><SessionToken>c</SessionToken>\
                <Expiration>2026-01-02T03:04:05Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    let found = of_sts(&Element::parse(text.as_bytes()).unwrap()).unwrap();
    let credentials =
        Credentials { access_key: "a".to_string(), secret_key: "b".to_string(), token: "c".to_string() };
    assert_eq!(found, Found { credentials, expires_ms: Some(1_767_323_045_000) });
}
