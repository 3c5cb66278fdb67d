//! `UpstreamReachable`: the registry as the proxies see it. Over replicas the worst wins.

use super::pods::Pods;
use super::verdict::Verdict;
use crate::facts::Report;

/// Reasons that mean trouble, worst first.
const TROUBLES: [&str; 6] =
    ["Unauthorized", "TLSFailure", "DNSFailure", "ConnectFailed", "UpstreamError", "RateLimited"];

pub(super) fn verdict(pods: &Pods<'_>) -> Verdict {
    let troubles = pods.reports().filter_map(|(pod, report)| trouble(report).map(|rank| (rank, pod, report)));
    if let Some((rank, pod, report)) = troubles.min_by_key(|(rank, pod, _)| (*rank, *pod)) {
        let said = report.proxies.first().and_then(|proxy| proxy.upstream.message.as_deref());
        let reason = TROUBLES.get(rank).copied().unwrap_or("UpstreamError");
        return Verdict::fails(reason, format!("the pod '{pod}' cannot use the upstream: {}", said.unwrap_or(reason)));
    }
    let answers = |report: &Report| reason(report) == Some("Probed");
    if pods.reports().any(|(_, report)| answers(report)) {
        return Verdict::holds("Probed", "the upstream answers");
    }
    let message = if pods.reports().next().is_some() {
        "the proxy has not asked the upstream yet".to_owned()
    } else {
        pods.why_unknown()
    };
    Verdict::unknown("NotProbed", message)
}

fn reason(report: &Report) -> Option<&str> {
    report.proxies.first()?.upstream.reason.as_deref()
}

/// How bad it is; `None`: not at all.
fn trouble(report: &Report) -> Option<usize> {
    let rejected = report.proxies.first().is_some_and(|proxy| proxy.credentials.rejected);
    match reason(report) {
        None | Some("Probed" | "NotProbed") => rejected.then_some(0),
        // A proxy of a newer version may know other words.
        Some(word) => {
            let other = TROUBLES.iter().position(|known| *known == "UpstreamError");
            TROUBLES.iter().position(|known| *known == word).or(other)
        }
    }
}
