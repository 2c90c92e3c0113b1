//! A small file system of its own for a store: a tmpfs, or an ext4 in an image file, that can be filled to the last
//! byte, run out of inodes, and become read-only.
//!
//! Needs the right to mount: root, or `sudo` that asks nothing. It is unmounted with its value, and also when the test
//! is killed: a shell waits for the test's end and unmounts whatever is left.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::wait::{PATIENT, wait_until};

/// Written at a time when the last bytes are taken.
const BLOCK_BYTES: usize = 4096;

/// What the image of an ext4 is called in its directory.
const IMAGE: &str = "image";

/// Where the file system is mounted in its directory.
const MOUNT_POINT: &str = "disk";

/// Which file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In memory.
    Tmpfs,
    /// On a loop device.
    Ext4,
}

/// What it is like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Which file system.
    pub kind: Kind,
    /// Its size; an ext4 needs some of it for itself.
    pub bytes: u64,
    /// Most files and directories, where that is to be few.
    pub inodes: Option<u64>,
}

/// A mounted file system.
#[derive(Debug)]
pub struct Volume {
    shape: Shape,
    /// Ends, and unmounts, when its input does.
    keeper: Child,
    /// The image and the mount point.
    dir: PathBuf,
}

impl Volume {
    /// Makes and mounts one.
    ///
    /// # Panics
    /// When this user may not mount, or `mkfs.ext4` is missing; says what to do.
    pub fn new(shape: Shape) -> Self {
        let dir = tempfile::Builder::new().prefix("tidegate-volume-").tempdir().expect("make a directory").keep();
        fs::create_dir(dir.join(MOUNT_POINT)).expect("make the mount point");
        let volume = Self { shape, keeper: keeper(&dir), dir };
        if shape.kind == Kind::Ext4 {
            let image = volume.dir.join(IMAGE);
            File::create(&image).and_then(|file| file.set_len(shape.bytes)).expect("make an image");
            let mut mkfs = Command::new("mkfs.ext4");
            // Nothing is kept for root, who runs the tests where they can mount.
            mkfs.args(["-q", "-F", "-m", "0"]);
            if let Some(inodes) = shape.inodes {
                mkfs.arg("-N").arg(inodes.to_string());
            }
            run(mkfs.arg(&image), "mkfs.ext4 (package e2fsprogs; tests/run installs it)");
        }
        volume.mount();
        // An ext4 in an image belongs to root at first.
        run(as_root("chmod").arg("777").arg(volume.path()), "opening the volume to all");
        volume
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.dir.join(MOUNT_POINT)
    }

    /// Takes every byte that is free at the moment, and keeps it until [`Volume::make_room`]. Called again, it takes
    /// what others have given back meanwhile.
    pub fn fill(&self) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.ballast()).expect("make the ballast");
        let mut length = file.metadata().expect("look at the ballast").len();
        let disk = statvfs(self.path()).expect("look at the volume");
        let mut chunk = (disk.f_bfree * disk.f_frsize).next_power_of_two();
        while chunk >= BLOCK_BYTES as u64 {
            match fallocate(&file, FallocateFlags::empty(), length, chunk) {
                Ok(()) => length += chunk,
                Err(_) => chunk /= 2,
            }
        }
        // Blocks that cannot be set aside can still be written, one by one.
        while file.write_all(&[1; BLOCK_BYTES]).is_ok() && file.sync_data().is_ok() {}
    }

    /// Takes every inode that is free at the moment.
    pub fn fill_inodes(&self) {
        let dir = self.path().join("inodes");
        let made = fs::create_dir(&dir);
        assert!(made.is_ok() || dir.is_dir(), "{made:?}");
        let first = fs::read_dir(&dir).expect("list the inodes taken").count();
        let mut next = first..;
        while next.next().is_some_and(|number| File::create(dir.join(number.to_string())).is_ok()) {}
    }

    /// Gives back what [`Volume::fill`] and [`Volume::fill_inodes`] have taken.
    pub fn make_room(&self) {
        let _ = fs::remove_file(self.ballast());
        let _ = fs::remove_dir_all(self.path().join("inodes"));
    }

    /// Lets nobody write any more by a name on this volume. Files that are open for writing stay so: the kernel does not
    /// make a file system read-only under them unless it has to, see [`Volume::abort`].
    pub fn cover_read_only(&self) {
        let at = self.path();
        run(as_root("mount").arg("--bind").arg(&at).arg(&at), "mounting over the volume");
        // Whoever opens a file by the new name in between keeps it busy until it is closed.
        wait_until("it to be read-only", PATIENT, || {
            let tried = as_root("mount").args(["-o", "remount,bind,ro"]).arg(&at).stdin(Stdio::null()).output();
            tried.is_ok_and(|output| output.status.success())
        });
    }

    /// The opposite of [`Volume::cover_read_only`].
    pub fn uncover(&self) {
        run(as_root("umount").arg("-l").arg(self.path()), "unmounting the cover");
    }

    /// Makes all of it read-only, as long as no file is open for writing.
    pub fn remount(&self, mode: &str) {
        run(as_root("mount").arg("-o").arg(format!("remount,{mode}")).arg(self.path()), "remounting");
    }

    /// What the kernel does to an ext4 after an error of the device: the journal is aborted, and everything is
    /// read-only from now on, also files that are open for writing.
    pub fn abort(&self) {
        assert_eq!(self.shape.kind, Kind::Ext4, "a tmpfs has no journal");
        run(as_root("mount").args(["-o", "remount,abort"]).arg(self.path()), "aborting the journal");
    }

    /// Lets whoever writes wait, for as long as the value lives: a disk that does not answer. Who waits cannot be killed, so
    /// let it end before the gateway does.
    pub fn freeze(&self) -> Frozen {
        assert_eq!(self.shape.kind, Kind::Ext4, "a tmpfs cannot be frozen");
        run(as_root("fsfreeze").arg("-f").arg(self.path()), "freezing the volume");
        Frozen(self.path())
    }

    /// Mounts a file system anew that was aborted, as after `umount` and `fsck`. Who still has files open there keeps
    /// the old one.
    pub fn repair(&self) {
        run(as_root("umount").arg("-l").arg(self.path()), "unmounting");
        // A copy: the kernel knows the old one by its image, and would hand out the aborted file system again.
        let (image, copy) = (self.dir.join(IMAGE), self.dir.join("copy"));
        fs::copy(&image, &copy).and_then(|_| fs::rename(&copy, &image)).expect("copy the image");
        let mut fsck = Command::new("e2fsck");
        let code = fsck.args(["-p", "-f"]).arg(&image).stdout(Stdio::null()).status().expect("e2fsck runs").code();
        assert!(code.is_some_and(|code| code <= 1), "e2fsck ends with {code:?}");
        self.mount();
    }

    fn mount(&self) {
        let Shape { kind, bytes, inodes } = self.shape;
        let mut mount = as_root("mount");
        match kind {
            Kind::Tmpfs => {
                let inodes = inodes.map(|inodes| format!(",nr_inodes={inodes}")).unwrap_or_default();
                mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}{inodes}"), "tidegate-test"]);
            }
            Kind::Ext4 => {
                mount.args(["-t", "ext4", "-o", "loop"]).arg(self.dir.join(IMAGE));
            }
        }
        run(mount.arg(self.path()), "mounting a small file system; this test needs root, or sudo without a password");
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

/// A volume on which nobody can write; ends with its value.
#[derive(Debug)]
pub struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        // Not in a panic again: the keeper tries, too.
        let _ = as_root("fsfreeze").arg("-u").arg(&self.0).status();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Its end of the pipe is what the keeper waits for.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A shell that outlives the test by as long as unmounting takes. In its own group, out of reach of Ctrl-C.
fn keeper(dir: &Path) -> Child {
    let script = r#"
        cat >/dev/null
        fsfreeze -u "$1/disk" 2>/dev/null || sudo -n fsfreeze -u "$1/disk" 2>/dev/null
        while umount -l "$1/disk" 2>/dev/null || sudo -n umount -l "$1/disk" 2>/dev/null; do :; done
        rm -f "$1/image" "$1/copy"
        rmdir "$1/disk" "$1"
    "#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(dir).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("sh runs")
}

/// A command with the rights of root.
fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

#[track_caller]
fn run(command: &mut Command, what: &str) {
    let output = command.stdin(Stdio::null()).output();
    let failure = match &output {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    panic!("{what}: {failure}");
}
