//! stub
pub fn run(_: &crate::args::RenderArguments) -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
