//! What a client needs to use a proxy: lines for files, environment variables, commands.

/// The set-up of one client program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSetup {
    /// The program: `npm`, `pip`, `cargo`.
    pub client: &'static str,
    /// The shortest command that makes the client use the proxy from now on, or for one call.
    pub command: String,
    /// Environment variables that do the same, without any file. Valid names of variables only.
    pub environment: Vec<(&'static str, String)>,
    /// Configuration files: path relative to the home or project directory, and the whole content.
    pub files: Vec<(&'static str, String)>,
}
