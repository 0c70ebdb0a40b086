use super::*;

fn machine(mib: u64, cores: usize) -> Machine {
    Machine { memory_bytes: mib << 20, from: Source::Cgroup, cores }
}

#[test]
fn shares_follow_the_limit() {
    // MiB of pool, cache, flush, queue, buffer of the log, index, bodies and messages; connections; threads of so many cores.
    let check = |mib: u64, cores: usize, bytes: [usize; 8], connections: [usize; 2], threads: usize| {
        let b = of(machine(mib, cores));
        let found = [
            b.pool_bytes,
            b.cache_bytes,
            b.flush_bytes,
            b.queue_bytes,
            b.wal_buffer_bytes,
            b.index_bytes,
            b.body_bytes,
            b.message_bytes,
        ];
        assert_eq!(found.map(|bytes| bytes >> 20), bytes, "{mib} MiB");
        assert!(found.iter().all(|bytes| bytes % MIB == 0), "{b:?}");
        assert_eq!([b.web_connections, b.pg_connections], connections, "{mib} MiB");
        assert_eq!(b.threads, threads, "{mib} MiB, {cores} cores");
    };
    check(128, 2, [32, 8, 2, 4, 4, 4, 8, 4], [32, 8], 2);
    check(512, 2, [128, 32, 8, 16, 16, 16, 32, 16], [128, 32], 2);
    check(512, 64, [128, 32, 8, 16, 16, 16, 32, 16], [128, 32], 8);
    check(2048, 4, [512, 128, 32, 64, 64, 64, 128, 64], [512, 100], 4);
    // From here on what was the default everywhere, and more where it pays.
    check(8192, 2, [1024, 128, 48, 64, 256, 256, 256, 256], [512, 100], 2);
    check(65_536, 16, [8192, 1024, 48, 64, 1024, 256, 256, 256], [512, 100], 16);
}

#[test]
fn together_they_are_at_most_four_fifths() {
    for mib in (128..4096).step_by(7).chain([4096, 5000, 8192, 24_105, 65_536, 1 << 20]) {
        for cores in [1, 2, 8, 64, 256] {
            let machine = machine(mib, cores);
            let budget = of(machine);
            assert!(budget.total_bytes() * 5 <= machine.memory_bytes * 4, "{mib} MiB: {budget:?}");
            assert_eq!(budget.warning(machine), None);
            assert!(budget.spill_bytes * budget.threads <= budget.pool_bytes / 8, "{budget:?}");
        }
    }
}

#[test]
fn flags_that_ask_for_too_much_are_told() {
    let machine = machine(512, 2);
    let budget = Budget { pool_bytes: 1 << 30, ..of(machine) };
    let warning = budget.warning(machine).expect("more than there is");
    assert!(warning.contains("of 512MB") && warning.contains("--query.memory-bytes"), "{warning}");
    // Sizes that cannot be added up are too much, too.
    assert!(Budget { flush_bytes: usize::MAX, cache_bytes: usize::MAX, ..budget }.warning(machine).is_some());
    // Too small to run in.
    let small = Machine { memory_bytes: 16 << 20, ..machine };
    assert!(of(small).warning(small).is_some());
}
