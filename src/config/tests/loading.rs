//! Files: the main one, conf.d, and those the configuration names.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::cli::check::check_to;
use crate::config::model::Credentials;
use crate::config::{files, load};
use crate::error::Failure;
use crate::forward::tls;

fn write(directory: &Path, name: &str, text: impl AsRef<[u8]>) -> std::path::PathBuf {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

fn refused(path: &Path) -> String {
    load(path, &env).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_missing_unreadable_or_odd_main_file_is_told_plainly() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    assert!(refused(&at.join("none.toml")).contains("does not exist"));
    assert!(refused(at).contains("is a directory"));
    let latin = write(at, "latin.toml", b"# ok\n# temp\xe9rature\n");
    assert!(refused(&latin).contains("line 2"), "{}", refused(&latin));
    assert!(refused(&latin).contains("not UTF-8"));
    let huge = write(at, "huge.toml", vec![b'#'; (1 << 20) + 1]);
    assert!(refused(&huge).contains("larger than 1 MiB"));
    let full = write(at, "full.toml", vec![b'#'; 1 << 20]);
    assert!(load(&full, &env).is_ok());
}

#[test]
fn what_a_power_cut_or_a_full_disk_leaves_is_no_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    for nothing in [&b""[..], b"\n", b" \r\n\t\n", b"\xef\xbb\xbf\n"] {
        let report = refused(&write(at, "tidegate.toml", nothing));
        for part in ["the file is empty", "disk full, or the power cut", "needs at least [gateway]"] {
            assert!(report.contains(part), "{nothing:?}: {report}");
        }
    }
    for idle in ["# nothing yet\n", "[gateway]\n"] {
        assert!(load(&write(at, "tidegate.toml", idle), &env).is_ok(), "{idle}");
    }
    write(at, "conf.d/10.toml", "");
    assert!(load(&at.join("tidegate.toml"), &env).is_ok(), "a file of conf.d may be empty");
    for lost in [vec![0; 300], format!("{GOOD}\0\0").into_bytes()] {
        let report = refused(&write(at, "tidegate.toml", lost));
        assert!(report.contains("holds zero bytes: it was lost") && report.contains("1 error"), "{report}");
    }
    for order in [u16::to_le_bytes, u16::to_be_bytes] {
        let text: Vec<u8> = "\u{feff}[gateway]\n".encode_utf16().flat_map(order).collect();
        let report = refused(&write(at, "tidegate.toml", text));
        assert!(report.contains("iconv -f utf-16 -t utf-8") && !report.contains("latin1"), "{report}");
    }
}

#[test]
fn what_in_conf_d_is_not_read_for_its_name_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let main = write(at, "tidegate.toml", GOOD);
    for left in ["10.toml~", ".10.toml.swp", "10.toml.bak", "10.toml.dpkg-old", "README", "10.disabled"] {
        write(at, &format!("conf.d/{left}"), "nonsense");
    }
    assert_eq!(load(&main, &env).unwrap().warnings.to_string(), "");
    for told in ["10.toml.txt", "20.TOML", "30.conf"] {
        write(at, &format!("conf.d/{told}"), "nonsense");
    }
    let warnings = load(&main, &env).unwrap().warnings.to_string();
    assert!(warnings.contains("3 warnings"), "{warnings}");
    for told in ["conf.d/10.toml.txt", "conf.d/20.TOML", "conf.d/30.conf"] {
        assert!(warnings.contains(&format!("{told} is not read: names must end in .toml")), "{warnings}");
    }
    fs::remove_dir_all(at.join("conf.d")).unwrap();
    write(at, "conf.d", "[gateway]\n");
    let warnings = load(&main, &env).unwrap().warnings.to_string();
    assert!(warnings.contains("conf.d is a file, not a folder"), "{warnings}");
}

#[test]
fn files_in_conf_d_add_up_in_the_order_of_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let main = write(directory.path(), "tidegate.toml", GOOD);
    let alarm = |name: &str| format!("[[alarm]]\nname = \"{name}\"\nsensors = [\"#\"]\nlow = 1\n");
    write(directory.path(), "conf.d/20-b.toml", alarm("b"));
    write(directory.path(), "conf.d/10-a.toml", alarm("a") + "[gateway]\ntime_zone = \"Europe/Berlin\"\n");
    write(directory.path(), "conf.d/ignored.toml.bak", "nonsense");
    write(directory.path(), "conf.d/.hidden.toml", "nonsense");
    let loaded = load(&main, &env).unwrap();
    let names: Vec<&str> = loaded.config.alarms.iter().map(|alarm| &*alarm.name).collect();
    assert_eq!(names, ["too-warm", "a", "b"]);
    assert_eq!(loaded.config.gateway.time_zone, "Europe/Berlin");
    assert_eq!(loaded.files.len(), 3);
}

#[test]
fn a_key_set_in_two_files_is_refused_with_both_places() {
    let directory = tempfile::tempdir().unwrap();
    let main = write(directory.path(), "tidegate.toml", GOOD);
    write(
        directory.path(),
        "conf.d/10.toml",
        "[gateway]\n\nid = \"other\"\n[[source]]\nname = \"boiler\"\ntype = \"x\"\n",
    );
    let report = refused(&main);
    assert!(report.contains("`id` of [gateway] is set twice"), "{report}");
    assert!(report.contains("10.toml:3:1") && report.contains("tidegate.toml:3:1"), "{report}");
    assert!(report.contains("10.toml:6:8"), "errors in both files come in one run: {report}");
}

#[test]
fn an_unreadable_file_in_conf_d_refuses_the_whole() {
    let directory = tempfile::tempdir().unwrap();
    let main = write(directory.path(), "tidegate.toml", GOOD);
    write(directory.path(), "conf.d/10.toml", b"\xff");
    assert!(refused(&main).contains("10.toml"));
}

/// A certificate and its key.
fn identity() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["gw1".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A configuration whose credentials are in `at`, with the given modes.
fn with_files(at: &Path) -> std::path::PathBuf {
    let at = at.display();
    let keys = format!(
        "[upstream]\nca_file = \"{at}/ca.pem\"\ncert_file = \"{at}/cert.pem\"\nkey_file = \"{at}/key.pem\"\nusername = \"u\"\n\
         password_file = \"{at}/password\"\n"
    );
    write(Path::new(&at.to_string()), "tidegate.toml", with("[upstream]\n", &keys))
}

fn file_faults(main: &Path, env: &dyn Fn(&str) -> Option<String>) -> String {
    files::check(&load(main, env).unwrap()).to_string()
}

#[test]
fn files_that_are_named_are_looked_at() {
    let (certificate, secret) = identity();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let main = with_files(at);
    let faults = file_faults(&main, &env);
    assert!(faults.contains("4 errors") && faults.contains("ca.pem: the file does not exist"), "{faults}");
    assert!(faults.contains("tidegate.toml:20:11"), "{faults}");

    write(at, "ca.pem", &certificate);
    write(at, "cert.pem", &certificate);
    let key = write(at, "key.pem", &secret);
    let password = write(at, "password", "hunter2\n");
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set(&key, 0o640);
    set(&password, 0o604);
    let faults = file_faults(&main, &env);
    // As when they are read for a connection: the group is the owner's business, everybody is not.
    assert!(faults.contains("1 error, 1 warning") && faults.contains("(mode 0640)"), "{faults}");
    assert!(faults.contains(&format!("chmod 600 {}", key.display())), "{faults}");
    assert!(!faults.contains("hunter2"));

    set(&key, 0o600);
    set(&password, 0o400);
    assert_eq!(file_faults(&main, &env), "");

    write(at, "cert.pem", &secret);
    write(at, "ca.pem", "x");
    write(at, "key.pem", &certificate);
    set(&password, 0o600);
    write(at, "password", "\n");
    let faults = file_faults(&main, &env);
    assert!(faults.contains("4 errors") && faults.contains("mixed up?"), "{faults}");
    assert!(
        faults.contains("no certificate in this file") && faults.contains("password: the file is empty"),
        "{faults}"
    );

    write(at, "key.pem", secret.replace("PRIVATE", "ENCRYPTED PRIVATE"));
    assert!(file_faults(&main, &env).contains("passphrase"));

    write(at, "cert.pem", &certificate);
    write(at, "ca.pem", &certificate);
    write(at, "key.pem", identity().1);
    write(at, "password", "hunter2 \n");
    let faults = file_faults(&main, &env);
    assert!(
        faults.contains("1 error, 1 warning") && faults.contains("does not belong to a certificate in"),
        "{faults}"
    );
    assert!(faults.contains("ends with a space") && !faults.contains("hunter2"), "{faults}");
}

#[test]
fn a_program_that_cannot_be_run_is_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let siren = write(at, "siren", "#!/bin/sh\n").display().to_string();
    let spaced = write(at, "my siren", "#!/bin/sh\n").display().to_string();
    let faults = |program: &str| {
        let hook = format!("high = 8.0\non_event = {{ command = [{program:?}] }}");
        file_faults(&write(at, "tidegate.toml", with("high = 8.0", &hook)), &env)
    };
    for program in [&siren, &spaced] {
        let told = faults(program);
        assert!(told.contains("is not executable") && told.contains("1 warning"), "{told}");
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(faults(program), "");
    }
    let told = faults(&format!("{siren} on"));
    assert!(told.contains("taken as a part of the file's name"), "{told}");
    assert!(told.contains(&format!("command = [\"{siren}\", \"on\", ..]")), "{told}");
    let told = faults("/nonexistent/siren");
    assert!(told.contains("/nonexistent/siren does not exist") && told.contains("tidegate.toml:19:"), "{told}");
    assert!(faults(&at.display().to_string()).contains("is no program"));
}

#[test]
fn a_pipe_in_place_of_a_file_is_told_and_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let main = with_files(at);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at.join("password"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let faults = file_faults(&main, &env);
    assert!(faults.contains("password: it is no regular file"), "{faults}");
    let credentials = Credentials { password_file: Some(at.join("password")), ..Credentials::default() };
    assert!(tls::password(&credentials).unwrap_err().to_string().contains("no regular file"));
}

#[test]
fn group_bits_are_no_matter_in_the_credentials_directory_of_systemd() {
    let (certificate, secret) = identity();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let main = with_files(at);
    write(at, "ca.pem", &certificate);
    write(at, "cert.pem", &certificate);
    for (name, content) in [("key.pem", secret.as_str()), ("password", "hunter2\n")] {
        let path = write(at, name, content);
        fs::set_permissions(path, fs::Permissions::from_mode(0o440)).unwrap();
    }
    let credentials = at.display().to_string();
    let env = |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| credentials.clone());
    assert_eq!(file_faults(&main, &env), "");
    fs::set_permissions(at.join("key.pem"), fs::Permissions::from_mode(0o444)).unwrap();
    assert!(file_faults(&main, &env).contains("every user of this machine"));
}

#[test]
fn check_says_good_or_gives_the_whole_report() {
    let directory = tempfile::tempdir().unwrap();
    let main = write(directory.path(), "tidegate.toml", with("zigbee/+/temperature", "zigbe/#"));
    let mut out = Vec::new();
    check_to(&main, true, false, &env, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.contains("1 warning") && out.contains("The configuration is good: gateway `g`, 2 sources, 1 alarm"),
        "{out}"
    );
    assert!(out.contains("upstream mqtts://broker.example.com:8883"), "{out}");

    let main = with_files(directory.path());
    let failure = check_to(&main, true, true, &env, &mut Vec::new()).map(|_| ()).unwrap_err();
    assert!(
        matches!(&failure, Failure::Configuration(report) if report.contains("does not exist") && report.contains("\x1b["))
    );
    let main = write(directory.path(), "tidegate.toml", "x = 1\n");
    let failure = check_to(&main, true, false, &env, &mut Vec::new()).map(|_| ()).unwrap_err();
    assert!(matches!(failure, Failure::Configuration(report) if report.contains("unknown key `x`")));
}
