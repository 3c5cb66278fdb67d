//! npm: what `npm config` says, which covers files, environment and npm's own default.

use super::machine::Machine;
use super::search::Search;

/// Offers the registry that npm uses here; if that is this proxy, the one that npm was built with.
pub(super) async fn find(machine: &Machine, search: &mut Search<'_>) -> &'static str {
    const REMEDY: &str = "install npm, or write the address of a registry: what `npm config get registry` prints where \
                          npm works";
    let Some(registry) = machine.run("npm", &["config", "get", "registry"]).await else { return REMEDY };
    if !search.offer(&registry, "npm config get registry") {
        // Two names: npm refuses to read one file twice. Neither exists.
        let arguments =
            ["config", "get", "registry", "--userconfig=/nonexistent/user", "--globalconfig=/nonexistent/global"];
        let bare = Machine { directory: "/".into(), ..machine.without(&["npm_config_registry"]) };
        if let Some(registry) = bare.run("npm", &arguments).await {
            search.offer(&registry, "npm's own default");
        }
    }
    REMEDY
}
