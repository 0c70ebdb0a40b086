//! The `promlake` binary: the allocator, and the way into [`promlake::cli`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Read by jemalloc when the process starts. Freed pages go back to the system within a second, by a thread of
/// its own, so that resident memory follows live memory also while nothing is allocated: a flush or a big query
/// frees hundreds of MiB at once.
#[unsafe(export_name = "malloc_conf")]
pub static MALLOC_CONF: &[u8] = b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

fn main() -> ExitCode {
    promlake::cli::main(std::env::args_os())
}
