//! What every ecosystem must do, case by case against the built program and a scripted upstream. An ecosystem takes
//! part by one line at the end of this file.

use tests::fixture::{CARGO, CONTAINER, DEBIAN, GO, MAVEN, NPM, PYPI};
use tests::wait::until;
use tests::{Answer, Ask, Fixture, Manifest, Protocol, Rig, Upstream};

mod addresses;
mod documents;
mod failures;
mod files;
mod integrity;
mod requests;
mod restarts;
mod serving;

/// One registry on an upstream, and the program in front of it.
pub(crate) struct Case {
    pub(crate) fixture: Fixture,
    pub(crate) upstream: Upstream,
    pub(crate) rig: Rig,
}

impl Case {
    /// With the limits of [`Manifest::of`].
    pub(crate) async fn new(protocol: &'static dyn Protocol) -> Self {
        Self::with(protocol, |manifest| manifest).await
    }

    /// With a changed manifest.
    pub(crate) async fn with(protocol: &'static dyn Protocol, tune: impl FnOnce(Manifest) -> Manifest) -> Self {
        let upstream = Upstream::start().await;
        let fixture = Fixture::new(protocol);
        fixture.install(&upstream);
        let rig = Rig::serve([tune(Manifest::of(protocol, &upstream))]).await;
        Self { fixture, upstream, rig }
    }

    /// The file of a release.
    pub(crate) async fn artifact(&self, release: usize) -> Answer {
        self.rig.get(&self.fixture.artifact(release)).await
    }

    /// The package's main document.
    pub(crate) async fn metadata(&self) -> Answer {
        self.rig.get(&self.fixture.metadata()).await
    }

    /// Whether the file of a release arrives as what a client takes for the whole of it. A connection that ends
    /// before any answer is a visible failure like others.
    pub(crate) async fn arrives_whole(&self, release: usize) -> bool {
        match self.rig.client().open(Ask::get(&self.fixture.artifact(release))).await {
            Ok(open) => open.finish().await.is_complete_success(),
            Err(_) => false,
        }
    }

    /// Fetches the main document until it comes from the store: for proxies that revalidate each time, where a
    /// request soon after the first one may still share its fetch.
    pub(crate) async fn settled_metadata(&self) -> Answer {
        until("a stored document", || async {
            let answer = self.metadata().await.expect_status(200);
            (answer.is_hit() || answer.cache_status().contains("fwd=stale")).then_some(answer)
        })
        .await
    }

    /// Fails unless the file of a release arrives whole and true.
    #[track_caller]
    pub(crate) fn assert_true_bytes(&self, answer: &Answer, release: usize) {
        assert_eq!(answer.status, 200, "{:?}", answer.headers);
        assert!(answer.bytes() == self.fixture.bytes(release), "other bytes than those that were published");
    }

    /// How often the upstream was asked for the file of a release.
    pub(crate) fn asked_for(&self, release: usize) -> usize {
        self.upstream.count(&self.fixture.upstream_artifact(release))
    }

    /// How often the upstream was asked for the package's main document.
    pub(crate) fn asked_for_metadata(&self) -> usize {
        self.upstream.count(&self.fixture.upstream_metadata())
    }

    /// The main document of a package that the registry does not have: path on the proxy and on the upstream.
    pub(crate) fn absent(&self, name: &str) -> (String, String) {
        let protocol = self.fixture.protocol;
        let below = protocol.metadata(name);
        (
            format!("/{}/{below}", protocol.name()),
            format!("{}{}", tests::fixture::BASE, protocol.upstream_metadata(name)),
        )
    }

    /// GET with one header.
    pub(crate) async fn get_with(&self, path: &str, name: &str, value: &str) -> Answer {
        self.rig.send(Ask::get(path).header(name, value)).await
    }
}

/// Runs every case for one ecosystem; each case is a test of its own.
macro_rules! conformance {
    ($name:ident, $protocol:expr) => {
        conformance! { @cases $name, $protocol,
            serving: [
                cold_miss, warm_hit_asks_nobody, head, head_of_what_is_absent, if_none_match, ranges, range_on_a_cold_key,
                fifty_misses_of_a_file, fifty_misses_of_a_document, the_first_client_leaves, every_client_leaves,
            ],
            documents: [
                not_modified_extends_the_lifetime, validators_go_out_verbatim, no_link_leads_to_the_upstream,
                links_work, absent_packages_are_remembered_shortly, gone_packages_too, client_codings,
                upstream_codings, a_new_release_is_found, unknown_releases_ask_once, queries_do_not_split_keys,
                every_base_gets_its_own_links,
            ],
            failures: [
                upstream_fails_and_nothing_is_cached, upstream_fails_and_stale_is_served, a_failure_is_retried,
                too_many_requests_pause, the_breaker_opens_and_recovers, unexpected_content, unexpected_statuses,
                forbidden_passes_uncached,
            ],
            integrity: [
                wrong_large_file, wrong_small_file, wrong_file_with_known_metadata, a_repeated_mismatch_is_remembered,
                a_cache_on_the_way_that_holds_wrong_bytes_is_passed_by, broken_bodies, broken_bodies_are_resumed,
                odd_but_honest_framings, old_clients_see_a_break,
            ],
            addresses: [
                redirects_are_followed, redirects_to_filtered_addresses, redirect_loops,
                credentials_stay_with_their_origin, links_to_filtered_addresses, links_to_another_origin,
            ],
            requests: [
                traversal, traversal_at_the_upstream, forged_hosts, smuggling, splitting, dangerous_headers,
                markup_is_not_served, hostile_headers_poison_nothing, methods, client_credentials_stay_here,
            ],
            files: [other_origin_of_files, small_and_large_are_labelled],
            restarts: [
                the_cache_survives_a_restart, the_cache_survives_a_crash, a_deleted_blob_heals, a_full_disk,
            ],
        }
    };
    (@cases $name:ident, $protocol:expr, $($room:ident: [$($case:ident),+ $(,)?],)+) => {
        mod $name {
            $(mod $room {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if $crate::conformance::is_left_out(&$protocol, stringify!($case)) {
                        return;
                    }
                    $crate::conformance::$room::$case(&$protocol).await;
                })+
            })+
        }
    };
}

/// One line an ecosystem. A variant of the API's list without a line here does not compile.
macro_rules! ecosystems {
    ($($variant:ident => $name:ident, $protocol:ident;)+ $(- $apart:ident => $reason:literal;)*) => {
        $(conformance!($name, crate::conformance::$protocol);)+

        /// The fixture of an ecosystem, or why it takes no part.
        fn protocol_of(ecosystem: crds::Ecosystem) -> Result<&'static dyn Protocol, &'static str> {
            match ecosystem {
                $(crds::Ecosystem::$variant => Ok(&$protocol),)+
                $(crds::Ecosystem::$apart => Err($reason),)*
            }
        }
    };
}

ecosystems! {
    Cargo => cargo, CARGO;
    Container => container, CONTAINER;
    Debian => debian, DEBIAN;
    Go => go, GO;
    Maven => maven, MAVEN;
    Npm => npm, NPM;
    Pypi => pypi, PYPI;
    - Gradle => "a store of keys without documents, in which trouble is a miss: it has tests of its own";
}

/// Whether a protocol has nothing that a case could be about: its fixture says why.
fn is_left_out(protocol: &dyn Protocol, case: &str) -> bool {
    let lacking = protocol.lacks().iter().find(|(name, _)| *name == case);
    if let Some((name, reason)) = lacking {
        eprintln!("{name} is left out for {}: {reason}", protocol.name());
    }
    lacking.is_some()
}

#[test]
fn every_line_names_its_own_ecosystem() {
    for ecosystem in crds::Ecosystem::ALL {
        match protocol_of(*ecosystem) {
            Ok(protocol) => assert_eq!(protocol.name(), ecosystem.name()),
            Err(reason) => assert!(!reason.is_empty()),
        }
    }
}
