//! Files of the configuration as tables of schema `external`.

use super::limits::fill;
use super::roles::{code, connect_as};
use super::*;

fn with_tables(folder: &Path) -> String {
    let table = |name: &str, file: &str| {
        format!("    - {{name: {name}, format: csv, location: {}/{file}}}\n", folder.display())
    };
    let tables = [("costs", "costs.csv"), ("missing", "missing.csv"), ("outside", "link.csv"), ("folder", "below")];
    let tables: String = tables.iter().map(|(name, file)| table(name, file)).collect();
    let broken = format!("    - {{name: broken, format: parquet, location: {}/costs.csv}}\n", folder.display());
    format!(
        "{}promlake:\n  external_locations: [{}]\n  external_tables:\n{tables}{broken}  roles:\n    \
         admin: {{users: [admin]}}\n    reader: {{users: [grafana], metrics: '{{team=\"a\"}}'}}\n",
        users(),
        folder.display()
    )
}

#[tokio::test]
async fn metrics_and_business_data_in_one_query() {
    let home = Home::on_disk();
    let files = tempfile::tempdir().expect("a folder");
    let (inside, outside) = (files.path().join("business"), files.path().join("secret.csv"));
    std::fs::create_dir_all(inside.join("below")).expect("a folder");
    std::fs::write(inside.join("costs.csv"), "team,owner,euros_per_order\na,Ada,0.5\nb,Bob,2\n").expect("a file");
    std::fs::write(&outside, "secret\n1\n").expect("a file");
    std::os::unix::fs::symlink(&outside, inside.join("link.csv")).expect("a link");
    let server = start(&home, &with_tables(&inside), &[]);
    fill(&server).await;
    let admin = connect_as(&server, "admin", "case-secret").await;
    let reader = connect_as(&server, "grafana", "open-sesame").await;

    let costs = "SELECT c.owner, max(o.value) * c.euros_per_order AS euros FROM orders o \
                 JOIN external.costs c ON c.team = o.team GROUP BY c.owner, c.euros_per_order ORDER BY 1";
    let rows = admin.query(costs, &[]).await.expect("rows");
    let rows: Vec<(String, f64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [("Ada".to_string(), 14.5), ("Bob".to_string(), 58.0)]);

    let told = async |client: &tokio_postgres::Client, sql: &str| -> (String, String) {
        let error = client.simple_query(sql).await.expect_err(sql);
        let error = error.as_db_error().expect("an error of the server");
        (error.code().code().to_string(), error.message().to_string())
    };
    for (table, why) in [
        ("missing", "external table \"missing\" has no file"),
        ("outside", "external table \"outside\" lies outside of its location"),
        ("folder", "external table \"folder\" is no file"),
        ("broken", "external table \"broken\" cannot be read as Parquet"),
    ] {
        let (state, message) = told(&admin, &format!("SELECT * FROM external.{table}")).await;
        assert_eq!((state.as_str(), message.as_str()), ("22000", why));
    }
    // No statement names a file, whatever it is called.
    for sql in [
        format!("SELECT * FROM '{}'", outside.display()),
        format!("SELECT * FROM external.\"{}\"", outside.display()),
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{}'", outside.display()),
        "SELECT * FROM external.\"../secret\"".to_string(),
    ] {
        let state = code(&admin, &sql).await;
        assert!(
            matches!(state.as_deref(), Some("42P01" | "42601" | "42501" | "25006" | "0A000")),
            "{sql}: {state:?}"
        );
    }

    let names = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'external' ORDER BY 1";
    let listed = async |client: &tokio_postgres::Client| -> Vec<String> {
        client.query(names, &[]).await.expect("rows").iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(listed(&admin).await, ["broken", "costs", "folder", "missing", "outside"]);
    // A file that is missing hides no columns of others.
    let columns = "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'external'";
    let columns: Vec<String> =
        admin.query(columns, &[]).await.expect("rows").iter().map(|row| row.get(0)).collect();
    assert_eq!(columns, ["team", "owner", "euros_per_order"]);

    // Who may see some series only has those tables that are listed.
    assert_eq!(listed(&reader).await, Vec::<String>::new());
    assert_eq!(told(&reader, "SELECT * FROM external.costs").await.0, "42501");
    let changed = with_tables(&inside).replace("team=\"a\"}'", "team=\"a\"}', external_tables: [costs]");
    write(&home, &changed);
    eventually("the file was read again", || status(&server, "GET /api/v1/status/tsdb", &[AS_GRAFANA]) == 200);
    std::thread::sleep(Duration::from_millis(1500));
    let reader = connect_as(&server, "grafana", "open-sesame").await;
    let rows = reader.query(costs, &[]).await.expect("rows");
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<String>>(), ["Ada"]);
    assert_eq!(listed(&reader).await, ["costs"]);
}
