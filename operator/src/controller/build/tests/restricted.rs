//! The level `restricted` of the Pod Security Standards, rule by rule, over every pod that is built.

use super::*;

/// Every rule that a pod breaks.
fn violations(pod: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    let mut rule = |holds: bool, name: &str| {
        if !holds {
            broken.push(name.to_owned());
        }
    };
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        rule(pod.get(field).is_none_or(|value| value == false), field);
    }
    let context = &pod["securityContext"];
    rule(context["seccompProfile"]["type"] == "RuntimeDefault", "seccompProfile");
    rule(context["runAsNonRoot"] == true, "runAsNonRoot");
    rule(context.get("runAsUser").is_none_or(|user| user.as_u64() > Some(0)), "runAsUser");
    for field in ["sysctls", "seLinuxOptions", "appArmorProfile", "windowsOptions", "supplementalGroups"] {
        rule(context.get(field).is_none(), field);
    }
    let allowed =
        ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];
    for volume in pod["volumes"].as_array().unwrap() {
        let kinds: Vec<&String> = volume.as_object().unwrap().keys().filter(|key| *key != "name").collect();
        rule(kinds.len() == 1 && allowed.contains(&kinds[0].as_str()), "volumes");
    }
    rule(pod.get("initContainers").is_none() && pod.get("ephemeralContainers").is_none(), "other containers");
    for container in pod["containers"].as_array().unwrap() {
        let context = &container["securityContext"];
        rule(context["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation");
        rule(context.get("privileged").is_none(), "privileged");
        rule(context.get("procMount").is_none(), "procMount");
        rule(context["capabilities"] == json!({"drop": ["ALL"]}), "capabilities");
        rule(context["readOnlyRootFilesystem"] == true, "readOnlyRootFilesystem");
        for port in container["ports"].as_array().unwrap() {
            rule(port.get("hostPort").is_none(), "hostPort");
        }
    }
    broken
}

#[test]
fn pods_pass_the_restricted_level() {
    for pod_security in ["Fixed", "Platform"] {
        let class = serde_json::from_value(json!({"podSecurity": pod_security})).unwrap();
        for spec in specs() {
            let deployment = object(&build(&plan_in(&class, spec)), ChildKind::Deployment, "left");
            let pod = &deployment["spec"]["template"]["spec"];
            assert_eq!(violations(pod), Vec::<String>::new(), "{pod:#}");
            assert_eq!(pod["automountServiceAccountToken"], false);
            assert_eq!(pod["enableServiceLinks"], false);
        }
    }
}

#[test]
fn the_checker_finds_what_it_looks_for() {
    let good = deployment(json!({}))["spec"]["template"]["spec"].clone();
    for (pointer, value) in [
        ("/hostNetwork", json!(true)),
        ("/securityContext/runAsUser", json!(0)),
        ("/securityContext/runAsNonRoot", json!(false)),
        ("/securityContext/seccompProfile/type", json!("Unconfined")),
        ("/containers/0/securityContext/allowPrivilegeEscalation", json!(true)),
        ("/containers/0/securityContext/privileged", json!(true)),
        ("/containers/0/securityContext/capabilities/add", json!(["NET_ADMIN"])),
        ("/containers/0/ports/0/hostPort", json!(80)),
        ("/volumes/0", json!({"name": "node", "hostPath": {"path": "/"}})),
    ] {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let mut pod = good.clone();
        match pod.pointer_mut(parent).unwrap() {
            Value::Array(items) => items[0] = value,
            parent => parent[field] = value,
        }
        assert_eq!(violations(&pod).len(), 1, "{pointer}");
    }
}

#[test]
fn user_and_group_are_set_where_the_platform_does_not_assign_them() {
    let claim =
        json!({"cache": {"storage": {"type": "PersistentVolumeClaim", "persistentVolumeClaim": {"size": "1Gi"}}}});
    let base = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    let user = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"},
        "runAsUser": 65532, "runAsGroup": 65532});
    let group = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"},
        "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532, "fsGroupChangePolicy": "OnRootMismatch"});
    for (pod_security, spec, expected) in [
        ("Fixed", json!({}), &user),
        ("Fixed", claim.clone(), &group),
        ("Platform", json!({}), &base),
        ("Platform", claim, &base),
    ] {
        let class = serde_json::from_value(json!({"podSecurity": pod_security})).unwrap();
        let deployment = object(&build(&plan_in(&class, spec)), ChildKind::Deployment, "left");
        assert_eq!(&deployment["spec"]["template"]["spec"]["securityContext"], expected, "{pod_security}");
    }
}
