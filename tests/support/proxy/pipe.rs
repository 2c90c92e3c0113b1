//! One connection through the proxy: both sockets, in one thread, until either end or a fault ends it.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_linger;

use super::streams::{Records, packet_length};
use super::{Fault, Mode, NOTICE, Shared, Way};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Bytes held back for one way before no more is read: what a router may buffer.
const HELD_BYTES_MAX: usize = 64 * 1024;

/// What the portal answers.
const PORTAL: &[u8] = b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/login?from=plant\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

/// One way of a connection.
struct Half {
    way: Way,
    from: TcpStream,
    to: TcpStream,
    /// When it is due, and what.
    held: VecDeque<(Instant, Vec<u8>)>,
    held_bytes: usize,
    /// Bytes since the connection or the fault began.
    passed: u64,
    /// When the next byte may leave over a slow network.
    free_at: Instant,
    /// No more will come.
    ended: bool,
    /// Has already turned a bit.
    corrupted: bool,
}

/// What becomes of bytes that were read.
enum Fate {
    Pass,
    Swallow,
    /// The first so many bytes pass, then the connection is closed in good order.
    CloseAfter(usize),
    Reset,
}

struct Pipe<'a> {
    shared: &'a Shared,
    fault: Fault,
    fault_number: u64,
    /// A fault has taken something, so the connection cannot go on when it is over.
    maimed: bool,
    /// Nothing passes any more.
    silent: bool,
    last_traffic: Instant,
    records: Option<Records>,
    packets: Option<Vec<u8>>,
    /// Of the broker, so far; counted where they are changed.
    pubacks: u32,
}

pub(super) fn serve(mut client: TcpStream, number: u64, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    client.set_nonblocking(true)?;
    // A stalled network takes the connection (the near router answers) and reaches nobody.
    while shared.mode() == Mode::Stalled && !shared.is_cut(number) {
        thread::park_timeout(NOTICE);
    }
    let (fault, fault_number) = current(shared);
    if matches!(fault, Fault::Mute | Fault::Portal) {
        return alone(&mut client, &fault, number, shared);
    }
    let target = *shared.target.lock().expect("no holder panics");
    let server = TcpStream::connect(target)?;
    server.set_nodelay(true)?;
    server.set_nonblocking(true)?;
    let half = |way, from: &TcpStream, to: &TcpStream| {
        Ok::<_, io::Error>(Half {
            way,
            from: from.try_clone()?,
            to: to.try_clone()?,
            held: VecDeque::new(),
            held_bytes: 0,
            passed: 0,
            free_at: Instant::now(),
            ended: false,
            corrupted: false,
        })
    };
    let mut halves = [half(Way::Up, &client, &server)?, half(Way::Down, &server, &client)?];
    let mut pipe = Pipe {
        shared,
        maimed: false,
        silent: false,
        last_traffic: Instant::now(),
        records: matches!(fault, Fault::SilentAfterRecords(_)).then(Records::default),
        packets: matches!(fault, Fault::Acks(_) | Fault::Answers { .. }).then(Vec::new),
        pubacks: 0,
        fault,
        fault_number,
    };
    let done = pipe.run(&mut halves, number);
    match done {
        Ok(Ending::Closed) | Err(_) => {
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        }
        // With the last of its descriptors, which is when this function returns.
        Ok(Ending::Reset) => {
            set_socket_linger(&client, Some(Duration::ZERO))?;
            set_socket_linger(&server, Some(Duration::ZERO))?;
        }
    }
    Ok(())
}

fn current(shared: &Shared) -> (Fault, u64) {
    let number = shared.fault_number.load(Ordering::SeqCst);
    (shared.fault.lock().expect("no holder panics").clone(), number)
}

/// A connection that reaches no broker.
fn alone(client: &mut TcpStream, fault: &Fault, number: u64, shared: &Shared) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    while !shared.is_cut(number) && current(shared).0 == *fault {
        match client.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(_) if *fault == Fault::Portal => {
                client.write_all(PORTAL)?;
                client.shutdown(Shutdown::Write)?;
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::park_timeout(NOTICE),
            Err(error) => return Err(error),
        }
    }
    set_socket_linger(&*client, Some(Duration::ZERO))?;
    Ok(())
}

enum Ending {
    Closed,
    Reset,
}

impl Pipe<'_> {
    fn run(&mut self, halves: &mut [Half; 2], number: u64) -> io::Result<Ending> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let shared = self.shared;
        loop {
            if shared.is_cut(number) {
                return Ok(Ending::Closed);
            }
            let passing = shared.passing.read().unwrap_or_else(PoisonError::into_inner);
            if shared.mode() == Mode::Stalled {
                drop(passing);
                thread::park_timeout(NOTICE);
                continue;
            }
            if self.shared.fault_number.load(Ordering::SeqCst) != self.fault_number {
                (self.fault, self.fault_number) = current(self.shared);
                for half in &mut *halves {
                    half.passed = 0;
                }
            }
            if self.fault == Fault::None && self.maimed {
                return Ok(Ending::Reset);
            }
            if let Fault::ForgetIdle(after) = self.fault
                && !self.silent
                && self.last_traffic.elapsed() >= after
            {
                self.shared.forgotten.fetch_add(1, Ordering::SeqCst);
                (self.silent, self.maimed) = (true, true);
            }
            wait(halves)?;
            for half in &mut *halves {
                if half.ended || half.held_bytes >= HELD_BYTES_MAX {
                    continue;
                }
                let count = match half.from.read(&mut chunk) {
                    Ok(0) => {
                        half.ended = true;
                        continue;
                    }
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(error),
                };
                self.last_traffic = Instant::now();
                match self.fate(half, &mut chunk[..count]) {
                    Fate::Pass => self.hold(half, &chunk[..count]),
                    Fate::Swallow => self.maimed = true,
                    Fate::Reset => return Ok(Ending::Reset),
                    Fate::CloseAfter(count) => {
                        half.to.set_nonblocking(false)?;
                        half.to.write_all(&chunk[..count])?;
                        return Ok(Ending::Closed);
                    }
                }
                half.passed += count as u64;
            }
            for half in &mut *halves {
                let count = half.deliver()?;
                self.shared.passed_bytes.fetch_add(count, Ordering::SeqCst);
                if half.ended && half.held.is_empty() {
                    return Ok(Ending::Closed);
                }
            }
        }
    }

    /// What the fault does to bytes that have come; it may change them.
    fn fate(&mut self, half: &mut Half, bytes: &mut [u8]) -> Fate {
        if self.silent {
            return Fate::Swallow;
        }
        let through = half.passed + bytes.len() as u64;
        match &self.fault {
            Fault::Swallow(ways) if ways.contains(&half.way) => Fate::Swallow,
            Fault::ResetOneIn(writes) if half.way == Way::Up && fastrand::u32(..*writes) == 0 => Fate::Reset,
            Fault::ResetAfter(limit) if half.way == Way::Up && through >= *limit => Fate::Reset,
            Fault::CloseAfter(limit) if half.way == Way::Up && through >= *limit => {
                Fate::CloseAfter(usize::try_from(limit.saturating_sub(half.passed)).expect("less than a chunk"))
            }
            Fault::Corrupt { way, after } if *way == half.way && through > *after && !half.corrupted => {
                half.corrupted = true;
                bytes[usize::try_from(after.saturating_sub(half.passed)).expect("less than a chunk")] ^= 0x10;
                Fate::Pass
            }
            Fault::SilentAfterRecords(limit) if half.way == Way::Up => {
                let Some(records) = &mut self.records else { return Fate::Pass };
                let passing = records.pass(bytes, *limit);
                if passing == bytes.len() {
                    return Fate::Pass;
                }
                self.silent = true;
                self.maimed = true;
                self.hold(half, &bytes[..passing]);
                Fate::Swallow
            }
            _ => Fate::Pass,
        }
    }

    /// Puts bytes behind those on their way.
    fn hold(&mut self, half: &mut Half, bytes: &[u8]) {
        let now = Instant::now();
        match self.fault {
            Fault::Slow { latency, bytes_per_s } => {
                // In small pieces, as they would come.
                for piece in bytes.chunks(1024) {
                    half.free_at = half.free_at.max(now) + Duration::from_secs(piece.len() as u64) / bytes_per_s as u32;
                    half.put(half.free_at + latency, piece.to_vec());
                }
            }
            Fault::Acks(late) if half.way == Way::Down && self.packets.is_some() => {
                let received = self.packets.get_or_insert_default();
                received.extend(bytes);
                while let Some(length) = packet_length(received) {
                    let packet: Vec<u8> = received.drain(..length).collect();
                    let is_puback = packet[0] >> 4 == 4;
                    match late {
                        None if is_puback => self.maimed = true,
                        Some(late) if is_puback => half.put(now + late, packet),
                        _ => half.put(now, packet),
                    }
                }
            }
            Fault::Answers { after, reason, times } if half.way == Way::Down && self.packets.is_some() => {
                let received = self.packets.get_or_insert_default();
                received.extend(bytes);
                while let Some(length) = packet_length(received) {
                    let mut packet: Vec<u8> = received.drain(..length).collect();
                    if packet[0] >> 4 == 4 {
                        self.pubacks += 1;
                        if (after + 1..=after + times).contains(&self.pubacks) {
                            // Remaining length, packet id, reason: MQTT 5, 3.4.
                            packet = vec![0x40, 3, packet[2], packet[3], reason];
                        }
                    }
                    half.put(now, packet);
                }
            }
            _ => {
                // Whole packets that a fault which is over still holds in pieces.
                let pieces = if half.way == Way::Down { self.packets.take() } else { None };
                let mut left = pieces.unwrap_or_default();
                left.extend(bytes);
                half.put(now, left);
            }
        }
    }
}

impl Half {
    fn put(&mut self, due: Instant, bytes: Vec<u8>) {
        self.held_bytes += bytes.len();
        self.held.push_back((due, bytes));
    }

    fn is_due(&self) -> bool {
        self.held.front().is_some_and(|(due, _)| *due <= Instant::now())
    }

    /// Writes what is due and fits. Returns how many bytes.
    fn deliver(&mut self) -> io::Result<u64> {
        let mut count = 0;
        while self.is_due() {
            let (_, bytes) = self.held.front_mut().expect("is due");
            match self.to.write(bytes) {
                Ok(written) => {
                    bytes.drain(..written);
                    self.held_bytes -= written;
                    count += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            if self.held.front().is_some_and(|(_, bytes)| bytes.is_empty()) {
                self.held.pop_front();
            }
        }
        Ok(count)
    }
}

/// Waits until there is something to do, or something may have changed.
fn wait(halves: &[Half; 2]) -> io::Result<()> {
    let mut wanted = Vec::with_capacity(4);
    for half in halves {
        if !half.ended && half.held_bytes < HELD_BYTES_MAX {
            wanted.push(PollFd::new(&half.from, PollFlags::IN));
        }
        if half.is_due() {
            wanted.push(PollFd::new(&half.to, PollFlags::OUT));
        }
    }
    let notice = Timespec { tv_sec: 0, tv_nsec: NOTICE.subsec_nanos().into() };
    match poll(&mut wanted, Some(&notice)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
