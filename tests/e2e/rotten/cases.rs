//! The named damages, and what may follow from each.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::process::Command;

use fastrand::Rng;

use super::Stores;
use super::damage::{any, close, copy_dir, dbs, dir, flip, later_version, newest, old_block, swap, truncate, zero};

pub(super) type Damage = fn(&Path, &Stores, &mut Rng);

pub(super) struct Case {
    pub(super) name: &'static str,
    /// What was lost may be announced only as an upper bound: nothing left tells how much there was.
    pub(super) inexact: bool,
    /// Nothing at all may be lost.
    pub(super) harmless: bool,
    /// Some directory must be in quarantine afterwards.
    pub(super) aside: bool,
    /// Runs as a user to whom part of the store is closed.
    pub(super) as_nobody: bool,
    pub(super) damage: Damage,
}

pub(super) const fn case(name: &'static str, damage: Damage) -> Case {
    Case { name, inexact: false, harmless: false, aside: false, as_nobody: false, damage }
}

impl Case {
    pub(super) const fn harmless(self) -> Self {
        Self { harmless: true, ..self }
    }

    pub(super) const fn inexact(self) -> Self {
        Self { inexact: true, ..self }
    }

    const fn aside(self) -> Self {
        Self { aside: true, ..self }
    }

    const fn closed_to_us(self) -> Self {
        Self { as_nobody: true, ..self }
    }
}

pub(super) const CASES: &[Case] = &[
    case("nothing", |_, _, _| {}).harmless(),
    case("truncate a file somewhere", |store, _, rng| truncate(&any(store, rng), rng)),
    case("truncate the newest somewhere", |store, _, rng| truncate(&newest(store), rng)),
    case("truncate every file somewhere", |store, _, rng| dbs(store).iter().for_each(|db| truncate(db, rng))).inexact(),
    case("empty the oldest", |store, _, _| {
        File::options().write(true).open(&dbs(store)[0]).unwrap().set_len(0).unwrap()
    }),
    case("empty the newest", |store, _, _| fs::write(newest(store), "").unwrap()).aside(),
    case("empty every file", |store, _, _| dbs(store).iter().for_each(|db| fs::write(db, "").unwrap())).inexact(),
    case("flip a few bits", |store, _, rng| flip(&any(store, rng), 8, rng)),
    case("flip a few bits of the newest", |store, _, rng| flip(&newest(store), 8, rng)),
    case("flip thousands of bits", |store, _, rng| dbs(store).iter().for_each(|db| flip(db, 3_000, rng))).inexact(),
    case("zero blocks", |store, _, rng| zero(&any(store, rng), 20, rng)),
    case("zero blocks everywhere", |store, _, rng| dbs(store).iter().for_each(|db| zero(db, 10, rng))),
    case("an old block over a newer one", |store, _, rng| old_block(&any(store, rng), rng)),
    case("a block of an older generation in the newest", |store, _, rng| {
        let bytes = fs::read(&dbs(store)[0]).unwrap();
        let (from, length) = (rng.usize(..bytes.len() / 2) / 4096 * 4096, 256 * 1024);
        let target = File::options().write(true).open(newest(store)).unwrap();
        target.write_all_at(&bytes[from..from + length], target.metadata().unwrap().len() / 2 / 4096 * 4096).unwrap();
    }),
    case("two old files swapped", |store, _, _| swap(&dbs(store)[0], &dbs(store)[1])).harmless(),
    case("an old file and the newest swapped", |store, _, _| swap(&dbs(store)[0], &newest(store))).harmless(),
    case("two directories swapped", |store, _, _| swap(dir(&dbs(store)[0]), dir(&newest(store)))).harmless(),
    case("an old file over another", |store, _, _| {
        fs::copy(&dbs(store)[1], &dbs(store)[0]).unwrap();
    })
    .aside(),
    case("another store's file over an old one", |store, stores, _| {
        fs::copy(newest(&stores.foreign), &dbs(store)[0]).unwrap();
    })
    .aside(),
    case("another store's file over the newest", |store, stores, _| {
        fs::copy(newest(&stores.foreign), newest(store)).unwrap();
    })
    .inexact()
    .aside(),
    case("another store's generation beside", |store, stores, _| {
        copy_dir(dir(&newest(&stores.foreign)), &store.join("queue/gen-00000321.1"));
    })
    .harmless()
    .aside(),
    case("names that are taken", |store, _, _| {
        let queue = store.join("queue");
        let number = dbs(store).len() as u64 + 1;
        for number in number..number + 3 {
            fs::write(queue.join(format!("gen-{number:08}.1")), "notes").unwrap();
        }
        fs::create_dir(queue.join("gen-99999999999999999999.1")).unwrap();
        fs::create_dir(queue.join("lost+found")).unwrap();
        fs::write(store.join("readme"), "").unwrap();
    })
    .harmless(),
    case("a directory named db", |store, _, _| {
        fs::remove_file(&dbs(store)[1]).unwrap();
        fs::create_dir(dir(&dbs(store)[0]).with_file_name("gen-00000002.1").join("db")).unwrap();
    })
    .aside(),
    case("an old generation gone", |store, _, _| fs::remove_dir_all(dir(&dbs(store)[1])).unwrap()),
    case("the newest generation gone", |store, _, _| fs::remove_dir_all(dir(&newest(store))).unwrap()).inexact(),
    case("the whole queue gone", |store, _, _| fs::remove_dir_all(store.join("queue")).unwrap()).inexact(),
    case("sled's other files gone", |store, _, _| {
        for db in dbs(store) {
            fs::remove_file(db.with_file_name("conf")).unwrap();
            fs::remove_dir_all(db.with_file_name("blobs")).unwrap();
        }
    })
    .harmless(),
    case("the marks gone", |store, _, _| {
        let _ = fs::remove_file(newest(store).with_file_name("clean"));
        fs::remove_file(store.join("mark")).unwrap();
    })
    .harmless(),
    case("an old generation closed to us", |store, _, _| close(dir(&dbs(store)[1]))).closed_to_us(),
    case("the newest generation closed to us", |store, _, _| close(dir(&newest(store)))).inexact().closed_to_us(),
    case("an old file closed to us", |store, _, _| close(&dbs(store)[0])).closed_to_us(),
    case("an old one written by a later version", |store, _, _| later_version(&dbs(store)[0])).aside(),
    case("links that lead nowhere", |store, _, _| {
        let db = dbs(store)[0].clone();
        fs::remove_file(&db).unwrap();
        symlink("db", &db).unwrap();
        symlink(".", store.join("queue/gen-00000500.1")).unwrap();
        symlink("gen-00000501.1", store.join("queue/gen-00000501.1")).unwrap();
    })
    .aside(),
    case("a pipe in place of a file", |store, _, _| {
        fs::remove_file(newest(store)).unwrap();
        let db = store.join("queue").join(format!("gen-{:08}.1", dbs(store).len() + 1)).join("db");
        assert!(Command::new("mkfifo").arg(&db).status().unwrap().success());
    })
    .inexact()
    .aside(),
    case("a quarantine that is full", |store, _, rng| {
        for number in 0..6 {
            let dir = store.join(format!("quarantine/00000000000{number}-gen-00000001.1"));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("db"), vec![1; 1 << 20]).unwrap();
        }
        fs::write(store.join("quarantine/notes.txt"), "").unwrap();
        flip(&newest(store), 40, rng);
    }),
];
