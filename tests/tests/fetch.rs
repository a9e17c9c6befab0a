//! Set-up brings packages without running anything of them: the real script against an index of its own.
#![allow(clippy::unwrap_used)]

use gate_tests::programs::root;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

const PACKAGE: &str = "trapped-package";
const MEMBER: &str = "data from the package";

/// A checkout with the real script, and an archive whose build tells on itself.
struct Checkout {
    folder: tempfile::TempDir,
}

impl Checkout {
    fn new() -> Self {
        let checkout = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["scripts", "models", "package/trapped-package-1.0"] {
            fs::create_dir_all(checkout.path(folder)).unwrap();
        }
        fs::copy(root().join("scripts/fetch.py"), checkout.path("scripts/fetch.py")).unwrap();

        let source = checkout.path("package/trapped-package-1.0");
        let trap = format!("open({:?}, 'w').write('built')\n", checkout.trap());
        fs::write(source.join("setup.py"), &trap).unwrap();
        let build = "[build-system]\nrequires = []\nbuild-backend = \"setup\"\nbackend-path = [\".\"]\n";
        fs::write(source.join("pyproject.toml"), build).unwrap();
        fs::write(source.join("PKG-INFO"), "Metadata-Version: 2.1\nName: trapped-package\nVersion: 1.0\n").unwrap();
        fs::write(source.join("data.txt"), MEMBER).unwrap();
        let archive = checkout.archive();
        let mut tar = Command::new("tar");
        tar.arg("-czf").arg(&archive).arg("-C").arg(checkout.path("package")).arg("trapped-package-1.0");
        assert!(tar.status().unwrap().success());

        let (whole, member) = (sha256(&archive), sha256(&source.join("data.txt")));
        let bytes = fs::metadata(&archive).unwrap().len();
        let manifest = format!(
            "[[asset]]\nname = \"data\"\nkind = \"sample\"\nto = \"samples/data.txt\"\nsha256 = \"{member}\"\nbytes = {}\n\
             licence = \"MIT\"\nwhy = \"a test\"\npackage = \"{PACKAGE}\"\nversion = \"1.0\"\nform = \"sdist\"\n\
             member = \"trapped-package-1.0/data.txt\"\npackage_sha256 = \"{whole}\"\npackage_bytes = {bytes}\n",
            MEMBER.len()
        );
        fs::write(checkout.path("models/assets.toml"), manifest).unwrap();
        checkout
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn archive(&self) -> PathBuf {
        self.path("trapped-package-1.0.tar.gz")
    }

    fn trap(&self) -> PathBuf {
        self.path("trap")
    }

    fn fetch(&self, index: &str, args: &[&str]) -> Output {
        let mut command = Command::new("python3");
        command.arg("scripts/fetch.py").args(["--kind", "sample"]).args(args).current_dir(self.folder.path());
        for name in ["PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "http_proxy", "HTTP_PROXY"] {
            command.env_remove(name);
        }
        command.env("PIP_INDEX_URL", index).env("no_proxy", "*").output().unwrap()
    }

    #[track_caller]
    fn holds_the_member(&self) {
        assert_eq!(fs::read_to_string(self.path("models/cache/samples/data.txt")).unwrap(), MEMBER);
        assert!(!self.trap().exists(), "something of the package was run");
    }
}

#[test]
fn an_archive_is_fetched_and_nothing_of_it_is_run() {
    for is_json in [true, false] {
        let checkout = Checkout::new();
        let archive = fs::read(checkout.archive()).unwrap();
        let index = serve(page(is_json, &sha256(&checkout.archive())), is_json, archive);
        let done = checkout.fetch(&index, &[]);
        assert!(done.status.success(), "{done:?}");
        checkout.holds_the_member();
    }

    // The trap is real: pip itself would have run into it.
    let checkout = Checkout::new();
    let pip = ["-m", "pip", "download", "--no-deps", "--no-index", "--no-build-isolation", "--dest", "out"];
    let _ = Command::new("python3").args(pip).arg(checkout.archive()).current_dir(checkout.folder.path()).output();
    assert!(
        checkout.trap().exists(),
        "pip has stopped building archives that it downloads: fetch.py can become simpler"
    );
}

#[test]
fn another_archive_than_the_pinned_one_never_counts() {
    let checkout = Checkout::new();
    let pinned = sha256(&checkout.archive());
    // The index says the pinned hash and gives another file.
    let index = serve(page(true, &pinned), true, b"another file".to_vec());
    let done = checkout.fetch(&index, &[]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout);
    assert!(!done.status.success() && said.contains("is not the pinned file"), "{said}");
    assert!(!checkout.path("models/cache/samples/data.txt").exists());

    // The index has no file with the pinned hash.
    let index = serve(page(true, &"0".repeat(64)), true, Vec::new());
    let done = checkout.fetch(&index, &[]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout);
    assert!(!done.status.success() && said.contains("no file with the pinned sha256"), "{said}");
}

#[test]
fn a_folder_serves_without_a_network() {
    let checkout = Checkout::new();
    let archive = fs::read(checkout.archive()).unwrap();
    let index = serve(page(true, &sha256(&checkout.archive())), true, archive);
    assert!(checkout.fetch(&index, &["--collect", "taken"]).status.success());
    assert!(!checkout.path("models/cache/samples/data.txt").exists());
    let nowhere = "http://127.0.0.1:9/simple";
    let done = checkout.fetch(nowhere, &["--from", "taken"]);
    assert!(done.status.success(), "{done:?}");
    checkout.holds_the_member();
}

fn sha256(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

/// The package's page on an index, as the simple repository API has it.
fn page(is_json: bool, sha256: &str) -> String {
    let file = "../../files/trapped-package-1.0.tar.gz";
    if is_json {
        return format!("{{\"files\":[{{\"url\":{file:?},\"hashes\":{{\"sha256\":{sha256:?}}}}}]}}");
    }
    format!("<html><a href=\"{file}#sha256={sha256}\">trapped-package-1.0.tar.gz</a></html>")
}

/// Serves one page and one file for as long as the test runs; gives the index's address.
fn serve(page: String, is_json: bool, file: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let page_type = if is_json { "application/vnd.pypi.simple.v1+json" } else { "text/html; charset=utf-8" };
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let first = request.next().unwrap_or_default();
            while request.next().is_some_and(|line| !line.is_empty()) {}
            let (status, kind, body) = match first.split(' ').nth(1) {
                Some("/simple/trapped-package/") => ("200 OK", page_type, page.as_bytes()),
                Some("/files/trapped-package-1.0.tar.gz") => ("200 OK", "application/gzip", file.as_slice()),
                _ => ("404 Not Found", "text/plain", b"".as_slice()),
            };
            let head = format!("HTTP/1.0 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        }
    });
    format!("http://{address}/simple")
}
