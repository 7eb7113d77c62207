//! Lists of hosts, with the number of ranks that each takes.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;

/// How Open MPI writes how many slots a host may have where ranks outnumber them.
const MOST_SLOTS: [&str; 2] = ["max_slots=", "max-slots="];

/// Hosts, in the order in which ranks fill them; each is there once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts(Vec<Host>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
    name: String,
    slots: NonZeroUsize,
}

impl Hosts {
    /// Reads a list like `a:2,b`; a host without a number has one slot, and one that is named again has more.
    ///
    /// # Errors
    ///
    /// When a word of it is not of that form; the message names the word.
    pub fn of_list(list: &str) -> Result<Self, String> {
        let hosts: Result<Vec<_>, _> = list.split(',').map(host).collect();
        Ok(Self::joined(hosts?))
    }

    /// Reads a host file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, and as [`Hosts::of_lines`].
    pub fn of_file(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        Self::of_lines(&text)
    }

    /// Reads the lines of a host file: `NAME`, `NAME:SLOTS` as MPICH and Intel MPI write it or `NAME slots=SLOTS` as
    /// Open MPI does, with comments behind `#`. What Open MPI calls the most slots says nothing here, where no host gets more
    /// ranks than slots.
    ///
    /// # Errors
    ///
    /// When it names no host, or a line is not of that form; the message names line and word.
    pub fn of_lines(text: &str) -> Result<Self, String> {
        let mut hosts = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(first) = words.next() else { continue };
            let in_line = |message: String| format!("line {number}: {message}");
            let mut host = host(first).map_err(in_line)?;
            for word in words {
                if let Some(most) = MOST_SLOTS.iter().find_map(|name| word.strip_prefix(name)) {
                    number_of_slots(most, word).map_err(in_line)?;
                    continue;
                }
                let slots = word
                    .strip_prefix("slots=")
                    .filter(|_| !first.contains(':') && host.slots == NonZeroUsize::MIN);
                let slots = slots.ok_or_else(|| {
                    in_line(format!(
                        "`{word}` is not understood; a line is `NAME`, `NAME:SLOTS` or `NAME slots=SLOTS`"
                    ))
                })?;
                host.slots = number_of_slots(slots, word).map_err(in_line)?;
            }
            hosts.push(host);
        }
        match hosts.is_empty() {
            true => Err("it names no host".to_owned()),
            false => Ok(Self::joined(hosts)),
        }
    }

    fn joined(hosts: Vec<Host>) -> Self {
        let own = own_names();
        let mut joined: Vec<Host> = Vec::new();
        for host in hosts {
            // Hydra takes two names for two hosts, each of which begins with its first core.
            let is_same = |earlier: &&mut Host| {
                earlier.name == host.name || own.contains(&earlier.name) && own.contains(&host.name)
            };
            match joined.iter_mut().find(is_same) {
                Some(earlier) => earlier.slots = earlier.slots.saturating_add(host.slots.get()),
                None => joined.push(host),
            }
        }
        Self(joined)
    }

    /// How many ranks they take.
    pub fn slots(&self) -> usize {
        self.0
            .iter()
            .fold(0, |slots, host| slots.saturating_add(host.slots.get()))
    }

    /// The hosts that so many ranks fill, each with its share.
    pub fn filled_by(&self, ranks: NonZeroUsize) -> Vec<(&str, usize)> {
        self.filled_by_each([ranks].into_iter()).pop().unwrap_or_default()
    }

    /// The hosts that the ranks of each part fill, where those of the next part go on.
    pub fn filled_by_each(&self, parts: impl Iterator<Item = NonZeroUsize>) -> Vec<Vec<(&str, usize)>> {
        let mut hosts = self.0.iter().map(|host| (host.name.as_str(), host.slots.get()));
        let mut current = hosts.next();
        let mut shares = |ranks: NonZeroUsize| {
            let mut left = ranks.get();
            let mut shares = Vec::new();
            while let Some((name, free)) = current.filter(|_| left > 0) {
                let share = left.min(free);
                shares.push((name, share));
                left -= share;
                current = match free - share {
                    0 => hosts.next(),
                    free => Some((name, free)),
                };
            }
            shares
        };
        parts.map(&mut shares).collect()
    }

    /// Whether all of them are the host of this process.
    pub fn are_here(&self) -> bool {
        let own = own_names();
        self.0.iter().all(|host| own.contains(&host.name))
    }
}

/// What the host of this process is called, as far as it says so itself.
fn own_names() -> Vec<String> {
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let own = own.trim();
    let short = own.split('.').next().unwrap_or_default();
    ["localhost", "127.0.0.1", own, short].map(str::to_owned).to_vec()
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, Host { name, slots }) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { "," };
            write!(f, "{separator}{name}:{slots}")?;
        }
        Ok(())
    }
}

/// Reads `NAME` or `NAME:SLOTS`.
fn host(word: &str) -> Result<Host, String> {
    let (name, slots) = match word.split_once(':') {
        Some((name, slots)) => (name, number_of_slots(slots, word)?),
        None => (word, NonZeroUsize::MIN),
    };
    let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if name.is_empty() || name.starts_with('-') || !name.bytes().all(is_of_a_name) {
        return Err(format!("`{word}` is not the name of a host, nor NAME:SLOTS"));
    }
    Ok(Host {
        name: name.to_owned(),
        slots,
    })
}

fn number_of_slots(text: &str, word: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .map_err(|_| format!("`{text}` in `{word}` is not a number of slots, which is 1 or more"))
}
