//! Install, upgrade, remove, purge.

use super::gate::{EVENTS, configure, pid, property, sh, systemctl, tool, wait, wait_event, wait_ready};
use super::{Rig, shared};
use std::path::Path;
use std::time::Instant;
use toml::Table;

pub fn installs(rig: &mut Rig) -> String {
    rig.camera.plug();
    let start = Instant::now();
    sh("dpkg -i /mnt/face-gate.deb").done();
    let unpacked = start.elapsed();
    assert_ne!(property("ActiveState"), "active", "a door is not started before it is configured");
    assert_eq!(sh("systemctl is-enabled gate-daemon").said.trim(), "disabled");
    configure(&rig.base, Table::new());
    tool(&["init"]).done();
    tool(&["add", "--id", "ana", "--name", "Ana", shared("samples/obama.jpg").to_str().unwrap()]).done();
    let found = sh("gate-daemon check").done();
    for word in ["/dev/video10", "1 people"] {
        assert!(found.contains(word), "{word:?} is not in {found}");
    }
    let start = Instant::now();
    sh("systemctl enable --now gate-daemon").done();
    wait_ready(0);
    let ready = start.elapsed();
    wait_event(0, "the first frame", |event| event.is_camera("opened"));
    format!("dpkg {:.1} s, ready {:.1} s after its start", unpacked.as_secs_f32(), ready.as_secs_f32())
}

pub fn upgrades(rig: &mut Rig) -> String {
    let config = std::fs::read_to_string("/etc/face-gate/gate.toml").unwrap();
    let (people, old, edges) = (tool(&["list", "--json"]).done(), pid(), rig.wire.mark());
    let start = Instant::now();
    sh("dpkg -i /mnt/face-gate-newer.deb").done();
    wait_ready(old);
    let took = start.elapsed();
    assert_eq!(std::fs::read_to_string("/etc/face-gate/gate.toml").unwrap(), config, "the owner's configuration");
    assert_eq!(tool(&["list", "--json"]).done(), people);
    assert_eq!(rig.wire.openings(edges), 0);
    rig.ana_comes_in();
    format!("{:.1} s in all; the same people, the same configuration, opens", took.as_secs_f32())
}

pub fn removed_and_purged(rig: &mut Rig) -> String {
    let edges = rig.wire.mark();
    sh("dpkg -r face-gate").done();
    assert!(!Path::new("/usr/bin/gate-daemon").exists());
    for kept in ["/etc/face-gate/gate.toml", "/etc/credstore/face-gate.key", "/var/lib/face-gate/people.db", EVENTS] {
        assert!(Path::new(kept).exists(), "{kept} is gone with the programs");
    }
    assert!(!rig.wire.is_on());
    sh("dpkg -i /mnt/face-gate-newer.deb").done();
    systemctl("start").done();
    wait_ready(0);
    assert!(tool(&["list", "--json"]).done().contains("ana"), "people survive a removal");
    sh("dpkg -P face-gate").done();
    wait("the gate has ended", || sh("pgrep gate-daemon").said.is_empty());
    for gone in [
        "/etc/face-gate",
        "/etc/credstore/face-gate.key",
        "/var/lib/face-gate",
        "/var/lib/face-gate-anchor",
        "/usr/share/face-gate",
    ] {
        assert!(!Path::new(gone).exists(), "{gone} is left after a purge");
    }
    assert_eq!(rig.wire.openings(edges), 0);
    "people and configuration survive a removal; a purge leaves nothing".into()
}
