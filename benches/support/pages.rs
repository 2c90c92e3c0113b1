//! Open pages: clients that read the page's stream as browsers do, and all of it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Some of them; closed with this value.
pub struct Pages {
    streams: Vec<TcpStream>,
    readers: Vec<JoinHandle<()>>,
    bytes: Arc<AtomicU64>,
}

impl Pages {
    /// Opens so many at the page on `port`.
    pub fn open(port: u16, count: usize) -> Self {
        let bytes = Arc::new(AtomicU64::new(0));
        let (mut streams, mut readers) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            let request = format!("GET /api/v1/stream HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let (mut from, counted) = (stream.try_clone().unwrap(), Arc::clone(&bytes));
            readers.push(std::thread::spawn(move || {
                let mut buffer = vec![0; 256 * 1024];
                // The end is ours.
                while let Ok(read @ 1..) = from.read(&mut buffer) {
                    counted.fetch_add(read as u64, Ordering::Relaxed);
                }
            }));
            streams.push(stream);
        }
        Self { streams, readers, bytes }
    }

    /// Closes them; bytes they have read.
    pub fn close(self) -> u64 {
        for stream in &self.streams {
            // One that the gateway has closed is closed.
            let _ = stream.shutdown(Shutdown::Both);
        }
        for reader in self.readers {
            reader.join().unwrap();
        }
        self.bytes.load(Ordering::Relaxed)
    }
}
