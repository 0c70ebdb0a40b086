use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

#[test]
fn labels_are_found_by_name() {
    let labels = labels(&[("job", "a"), ("__name__", "up"), ("A", "1"), ("long", &"x".repeat(300)), ("empty", "")]);
    let check = |name: &str, expected: Option<&str>| assert_eq!(labels.get(name), expected, "{name}");
    check("__name__", Some("up"));
    check("A", Some("1"));
    check("job", Some("a"));
    check("long", Some(&"x".repeat(300)));
    ["", "B", "__type__", "empty", "jo", "jobs", "z"].iter().for_each(|name| check(name, None));
    assert_eq!(Labels::empty().get("job"), None);
}

#[test]
fn hashes_are_those_of_the_labels_kept() {
    let hash = |pairs: &[(&str, &str)]| labels(pairs).hash_without(|name| name.starts_with("__"));
    let kept = hash(&[("A", "1"), ("job", "a")]);
    // Whatever is left out, and wherever it stood.
    assert_eq!(hash(&[("A", "1"), ("__name__", "up"), ("job", "a")]), kept);
    assert_eq!(hash(&[("A", "1"), ("__name__", "down"), ("__type__", "gauge"), ("job", "a")]), kept);
    for other in [&[("A", "1")] as &[_], &[("A", "1"), ("job", "b")], &[("A", "1"), ("joba", "")], &[("A", "1job")]]
    {
        assert_ne!(hash(other), kept, "{other:?}");
    }
    assert_ne!(hash(&[("a", "bc")]), hash(&[("ab", "c")]));
}

#[test]
fn sorted_pairs_make_what_pairs_make() {
    for pairs in [
        &[] as &[(&str, &str)],
        &[("__name__", "up"), ("job", "a")],
        &[("A", ""), ("__name__", "up"), ("job", ""), ("z", "é")],
        &[("long", &"x".repeat(300))],
    ] {
        assert_eq!(Labels::from_sorted(pairs.iter().copied()), labels(pairs));
    }
}

#[test]
fn label_sets_are_ordered_pair_by_pair() {
    // A set is less than one it is the beginning of; names come before values; lengths do not matter.
    let sets: [&[(&str, &str)]; 7] = [
        &[],
        &[("a", "1")],
        &[("a", "1"), ("b", "")],
        &[("a", "1"), ("b", "1")],
        &[("a", "10")],
        &[("a", "2")],
        &[("aa", "1")],
    ];
    for (i, a) in sets.iter().enumerate() {
        for (j, b) in sets.iter().enumerate() {
            // The third has no more labels than the second.
            let rank = |n: usize| if n == 2 { 1 } else { n };
            assert_eq!(labels(a).cmp(&labels(b)), rank(i).cmp(&rank(j)), "{a:?} and {b:?}");
        }
    }
}
