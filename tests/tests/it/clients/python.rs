//! pip, uv and pdm.

use std::path::PathBuf;
use std::process::Command;

use super::machine::{self, client, python_index, python_tool};
use super::scenario::{Run, Scenario};

fn science(name: &'static str, except: &'static [&'static str]) -> Scenario {
    Scenario { name, application: "python/science", proxy: "pypi", never_asked: "simple/never-asked-for/", except }
}

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn pip_installs_a_scientific_environment() {
    let tree = science("pip install", &[]).run(|run| {
        let mut pip = pip(run, "install");
        machine::run(pip.args(["--no-compile", "-r", "requirements.txt", "--target", "site"]));
        run.project.join("site")
    });
    assert!(tree.count(".dist-info/WHEEL") >= 40);
}

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn pip_downloads_the_same_wheels() {
    let tree = science("pip download", &[]).run(|run| {
        machine::run(pip(run, "download").args(["--no-deps", "-r", "requirements.txt", "--dest", "wheels"]));
        run.project.join("wheels")
    });
    assert!(tree.count(".whl") >= 40);
}

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn uv_installs_a_scientific_environment() {
    let tree = science("uv pip install", &[]).run(|run| {
        let mut uv = client(python_tool("uv"), run.home);
        uv.current_dir(run.project).arg("--no-config").args(["pip", "install", "--no-compile", "--link-mode", "copy"]);
        uv.arg("--cache-dir").arg(run.home.join("uv")).arg("--python").arg(python_tool("python"));
        if let Some(index) = index(run) {
            uv.args(["--default-index", &index]);
        }
        machine::run(uv.args(["-r", "requirements.txt", "--target", "site"]));
        run.project.join("site")
    });
    assert!(tree.count(".dist-info/WHEEL") >= 40);
}

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn pdm_resolves_locks_and_installs() {
    let scenario = Scenario {
        name: "pdm install",
        application: "python/small",
        proxy: "pypi",
        never_asked: "simple/never-asked-for/",
        except: &[],
    };
    let tree = scenario.run(|run| {
        let mut venv = client(python_tool("python"), run.home);
        machine::run(venv.current_dir(run.project).args(["-m", "venv", "--without-pip", ".venv"]));
        let mut pdm = client(python_tool("pdm"), run.home);
        pdm.current_dir(run.project).env("PDM_CHECK_UPDATE", "0").env("PDM_USE_VENV", "1");
        if let Some(index) = index(run) {
            pdm.env("PDM_PYPI_URL", index);
        }
        machine::run(pdm.args(["install", "--no-self"]));
        run.project.join(".venv")
    });
    assert!(tree.count(".dist-info/WHEEL") >= 10);
}

/// pip without the machine's settings: no file of it is read, and the variables are not inherited.
fn pip(run: &Run<'_>, subcommand: &str) -> Command {
    let mut pip = client(python_tool("pip"), run.home);
    pip.current_dir(run.project).env("PIP_CONFIG_FILE", "/dev/null").env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    pip.arg(subcommand).arg("--cache-dir").arg(cache(run));
    if let Some(index) = index(run) {
        pip.args(["--index-url", &index]);
    }
    pip
}

fn cache(run: &Run<'_>) -> PathBuf {
    run.home.join("pip")
}

fn index(run: &Run<'_>) -> Option<String> {
    run.registry.map(|base| format!("{base}simple/")).or_else(python_index)
}
