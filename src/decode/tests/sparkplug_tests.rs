//! Births of Sparkplug nodes: what is declared, and whose birth is to be asked for.

use super::*;

/// A payload of metrics (name, alias, value).
fn payload(seq: Option<u8>, metrics: &[(Option<&str>, u8, f64)]) -> Vec<u8> {
    let mut out = vec![0x08, 0x01];
    for (name, alias, value) in metrics {
        let mut metric = Vec::new();
        if let Some(name) = name {
            metric.extend([0x0a, name.len() as u8]);
            metric.extend(name.as_bytes());
        }
        metric.extend([0x10, *alias, 0x20, 10, 0x69]);
        metric.extend(value.to_le_bytes());
        out.extend([0x12, metric.len() as u8]);
        out.extend(metric);
    }
    if let Some(seq) = seq {
        out.push(0x18);
        out.extend(if seq < 0x80 { vec![seq] } else { vec![seq | 0x80, 1] });
    }
    out
}

fn bench(reach: model::Reach) -> Bench {
    Bench::new(Decode { reach, ..decode(Format::SparkplugB, Vec::new()) })
}

fn missing(node: &str) -> Vec<Birth> {
    vec![Birth::Missing(node.into())]
}

fn settled(node: &str) -> Vec<Birth> {
    vec![Birth::Settled(node.into())]
}

#[test]
fn data_by_an_alias_without_a_birth_asks_for_the_nodes_birth_and_is_read_after_it() {
    let mut bench = bench(model::Reach::default());
    let data = payload(Some(9), &[(None, 1, 2.5), (None, 2, 3.5)]);
    assert_eq!(bench.readings("spBv1.0/g/DDATA/n/d", &data), [""; 0]);
    assert_eq!(bench.out.rejects.len(), 2);
    assert_eq!(bench.out.births, missing("g/n"), "a device's birth comes with its node's");
    bench.message("spBv1.0/g/NBIRTH/n", payload(Some(0), &[(Some("x"), 7, 1.0)]), false);
    assert_eq!(bench.out.births, settled("g/n"));
    bench.message("spBv1.0/g/DBIRTH/n/d", payload(Some(1), &[(Some("t"), 1, 1.0), (Some("p"), 2, 1.0)]), false);
    assert_eq!(bench.out.births, []);
    let data = payload(Some(2), &[(None, 1, 2.5), (None, 2, 3.5)]);
    assert_eq!(bench.readings("spBv1.0/g/DDATA/n/d", &data), ["src/g/n/d/t=2.5", "src/g/n/d/p=3.5"]);
    assert_eq!((&bench.out.births[..], &bench.out.rejects[..]), (&[][..], &[][..]));
}

#[test]
fn a_gap_asks_and_late_messages_take_it_back() {
    let mut bench = bench(model::Reach::default());
    let mut births = |kind: &str, seq: Option<u8>| {
        let topic = format!("spBv1.0/g/{kind}/n");
        bench.message(&topic, payload(seq, &[(Some("t"), 1, 1.0)]), false).births.clone()
    };
    assert_eq!(births("NBIRTH", Some(0)), settled("g/n"));
    assert_eq!(births("NDATA", Some(1)), []);
    assert_eq!(births("NDATA", Some(4)), missing("g/n"));
    assert_eq!(births("NDATA", Some(2)), []);
    assert_eq!(births("NDATA", Some(3)), settled("g/n"));
    assert_eq!(births("NDATA", Some(5)), []);
    assert_eq!(births("NDATA", Some(200)), missing("g/n"));
    assert_eq!(births("NDEATH", None), settled("g/n"), "one that is gone cannot answer");
    assert_eq!(births("NDATA", Some(77)), [], "names need no birth");
}

#[test]
fn nobody_is_asked_where_the_configuration_forbids_it() {
    let mut bench = bench(model::Reach { no_rebirth: true, ..model::Reach::default() });
    bench.message("spBv1.0/g/NDATA/n", payload(Some(1), &[(None, 1, 1.0)]), false);
    assert_eq!((bench.out.births.len(), bench.out.rejects.len()), (0, 1));
    bench.message("spBv1.0/g/NDATA/n", payload(Some(9), &[(None, 1, 1.0)]), false);
    assert_eq!((bench.out.births.len(), bench.out.rejects.len()), (0, 2));
}
