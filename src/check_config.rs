//! `holdfast check-config FILE`: what is wrong with a configuration file, before it matters.

use anyhow::Context;
use holdfast_gateway::server::Tls;

use crate::cli::CheckConfigArgs;
use crate::config::Config;

/// Says that the file is good, with warnings; or fails with what is wrong and where.
pub(crate) fn run(args: &CheckConfigArgs) -> anyhow::Result<()> {
    let (config, warnings) = Config::read(&args.file)?;
    if let Ok(Some(files)) = config.tls.files() {
        // The pair is read as a start reads it: a wrong key is found here.
        Tls::load(files).with_context(|| args.file.display().to_string())?;
    }
    let name = args.file.display();
    for warning in &warnings {
        println!("{name}: warning: {warning}");
    }
    println!("{name}: good");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_file_is_good_and_a_bad_one_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("holdfast.toml");
        let check = |text: &str| {
            std::fs::write(&file, text).unwrap();
            run(&CheckConfigArgs { file: file.clone() })
        };
        check("[cluster]\nlayout = \"4+2\"\n").unwrap();
        let message = check("[tls]\ncert = \"/no/cert\"\nkey = \"/no/key\"\n").unwrap_err();
        assert!(
            format!("{message:#}").contains("can't read /no/cert"),
            "{message:#}"
        );
        let message = check("[gateway]\nlisen = \"127.0.0.1:1\"\n")
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("holdfast.toml: line 2, column 1: unknown field `lisen`"),
            "{message}"
        );

        let missing = CheckConfigArgs {
            file: folder.path().join("absent.toml"),
        };
        assert!(
            run(&missing)
                .unwrap_err()
                .to_string()
                .contains("can't read")
        );
    }
}
