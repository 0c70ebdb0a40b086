//! What the program says of its version.

use crate::app;

/// `program` is the name that it was called by.
pub fn text(program: &str) -> String {
    let build = app::build_info();
    // The form is Prometheus', and what asks for its version reads the first line.
    format!(
        "{program}, version {} (branch: , revision: {})\n  rust version:     {}\n  platform:         {}/{}\n  \
         speaks:           Prometheus {}",
        build.version,
        build.revision,
        build.rustc,
        std::env::consts::OS,
        std::env::consts::ARCH,
        crate::server::http::routes::status::PROMETHEUS_VERSION,
    )
}
