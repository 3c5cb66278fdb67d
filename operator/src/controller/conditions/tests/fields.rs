//! The fields of `status` besides its conditions.

use super::*;

#[test]
fn what_a_person_and_a_program_look_for() {
    let status = Case::with(json!({"replicas": 2, "externalURL": "https://packages.example/npm"})).first();
    let mut text = serde_json::to_value(&status).unwrap();
    text.as_object_mut().unwrap().remove("conditions");
    assert_eq!(
        text,
        json!({
            "observedGeneration": 7,
            "url": "http://left.team-a.svc.cluster.test",
            "externalURL": "https://packages.example/npm",
            "serviceRef": {"name": "left", "port": 80},
            "clientConfigMapRef": {"name": "left-client"},
            "className": "class",
            "owner": "team-a",
            "image": "registry.example/proxy:1",
            "replicas": 2,
            "readyReplicas": 2,
            "selector": "app.kubernetes.io/instance=left,app.kubernetes.io/name=packageproxy",
            "upstream": {"url": "https://registry.example/", "healthy": true},
            "cache": {"backend": "Ephemeral", "capacity": "18Gi", "used": "2Gi", "objects": 200, "hitPercent": 75},
        })
    );
}

#[test]
fn the_cache_is_written_when_it_is_time_and_something_moved() {
    const GIB: u64 = 1 << 30;
    let before = Case::good().first();
    let with = |bytes: u64, objects: u64, hits: u64, due: bool| {
        let case = Case::good().edit(|case| {
            case.cache_due = due;
            let report = case.report("left-0");
            (report.storage.bytes, report.storage.objects, report.proxies[0].cache.hits) = (bytes, objects, hits);
        });
        case.after(&before, 2000).cache != before.cache
    };
    for (bytes, objects, hits, due, written) in [
        (GIB, 100, 30, true, false),
        (GIB + GIB / 25, 104, 31, true, false),
        (2 * GIB, 300, 10, false, false),
        (2 * GIB, 100, 30, true, true),
        (GIB / 2, 100, 30, true, true),
        (GIB, 105, 30, true, true),
        (GIB, 100, 32, true, true),
    ] {
        assert_eq!(with(bytes, objects, hits, due), written, "{bytes} {objects} {hits} {due}");
    }
    let larger = Case::good().edit(|case| case.report("left-0").storage.max_size = 18 * GIB).after(&before, 2000);
    assert_eq!(larger.cache.unwrap().capacity.as_deref(), Some("18Gi"));
    let silent = Case::good().edit(|case| case.reports.clear()).after(&before, 2000);
    assert_eq!(silent.cache, before.cache);
}

#[test]
fn the_image_is_that_of_the_pods() {
    let waiting = Case::good().edit(|case| {
        let template = &mut case.deployment.as_mut().unwrap()["spec"]["template"];
        template["spec"]["containers"][0]["image"] = json!("registry.example/proxy:0");
    });
    assert_eq!(waiting.first().image.as_deref(), Some("registry.example/proxy:0"));
    let none = Case::good().edit(|case| case.deployment = None);
    assert_eq!(none.first().image.as_deref(), Some("registry.example/proxy:1"));
}
