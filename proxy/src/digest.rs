//! Digests: the spellings of the registries, and several algorithms in one pass over the bytes.

use std::collections::BTreeSet;
use std::fmt;

use data_encoding::{BASE64, Encoding, HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// A hash function, weakest first: the order says which of several digests is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// 128 bits; guards against accidents only. Repositories of Maven have it beside each file.
    Md5,
    /// 160 bits; all that old npm packages have.
    Sha1,
    /// 256 bits.
    Sha256,
    /// 384 bits; allowed in subresource integrity.
    Sha384,
    /// 512 bits.
    Sha512,
    /// Go's `h1:` of a `go.mod`, made of its SHA-256.
    #[serde(rename = "h1-mod")]
    H1Mod,
    /// Go's `h1:` of a zip, made of the SHA-256 of each file in it and of their names.
    #[serde(rename = "h1-zip")]
    H1Zip,
}

impl Algorithm {
    const ALL: [Self; 7] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512, Self::H1Mod, Self::H1Zip];

    /// The name in subresource integrity and in `algorithm:hex` notation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::H1Mod => "h1-mod",
            Self::H1Zip => "h1-zip",
        }
    }

    /// Length of a digest in bytes.
    pub const fn length(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 | Self::H1Mod | Self::H1Zip => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// The most digests that are taken of one integrity string.
const MOST: usize = 8;
/// The longest digest in bytes.
const LONGEST: usize = Algorithm::Sha512.length();

/// The digest of some bytes under a named algorithm. Held in place, since a document may list very many.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// Zero beyond the algorithm's length.
    bytes: [u8; LONGEST],
}

impl Digest {
    /// A digest from its hexadecimal spelling, upper or lower case. `None` if it has the wrong length or alphabet.
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Option<Self> {
        Self::decoded(algorithm, &HEXLOWER_PERMISSIVE, hex.trim())
    }

    /// The same of one that is spelled in lower case and without blanks, as [`Self::hex`] does.
    pub fn from_lower_hex(algorithm: Algorithm, hex: &str) -> Option<Self> {
        Self::decoded(algorithm, &HEXLOWER, hex)
    }

    /// A digest from its spelling. `None` if it has the wrong length or alphabet.
    fn decoded(algorithm: Algorithm, spelling: &Encoding, text: &str) -> Option<Self> {
        // Two bytes more than the longest digest: base64 speaks of its length before it looks at the padding.
        let mut buffer = [0; LONGEST + 2];
        let room = spelling.decode_len(text.len()).ok().and_then(|length| buffer.get_mut(..length))?;
        let length = spelling.decode_mut(text.as_bytes(), room).ok()?;
        (length == algorithm.length()).then(|| Self::of(algorithm, &buffer[..length]))
    }

    /// `bytes` has the algorithm's length.
    fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut digest = Self { algorithm, bytes: [0; LONGEST] };
        digest.bytes[..bytes.len()].copy_from_slice(bytes);
        digest
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.length()]
    }

    /// The digests of a subresource integrity string: `sha512-<base64>`, several separated by blanks, options after
    /// `?` ignored (W3C Subresource Integrity §3.5). Unknown algorithms are left out, and what comes after
    /// `MOST` digests.
    pub fn from_integrity(integrity: &str) -> Vec<Self> {
        let one = |item: &str| {
            let (name, value) = item.split_once('-')?;
            let algorithm = Algorithm::named(name).filter(|algorithm| *algorithm > Algorithm::Md5)?;
            Self::decoded(algorithm, &BASE64, value.split('?').next()?)
        };
        let mut digests = Vec::new();
        for digest in integrity.split_ascii_whitespace().filter_map(one).take(MOST) {
            // One is the rule, and a vector that grows by itself begins with room for four.
            digests.reserve_exact(1);
            digests.push(digest);
        }
        digests
    }

    /// A digest from `algorithm:hex`, the inverse of `Display`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, hex) = text.split_once(':')?;
        Self::from_hex(Algorithm::named(name)?, hex)
    }

    /// A digest of Go's from `h1:base64`; which kind of file it is of, only the place of the text says.
    pub fn from_h1(algorithm: Algorithm, text: &str) -> Option<Self> {
        Self::decoded(algorithm, &BASE64, text.strip_prefix("h1:")?)
    }

    /// Go's digest of a list of files, which are given in the order of their names.
    pub fn h1<'a>(algorithm: Algorithm, files: impl Iterator<Item = (&'a [u8], [u8; 32])>) -> Self {
        let mut hasher = sha2::Sha256::new();
        for (name, sha256) in files {
            hasher.update(HEXLOWER.encode(&sha256));
            hasher.update(b"  ");
            hasher.update(name);
            hasher.update(b"\n");
        }
        Self::of(algorithm, &hasher.finalize())
    }

    /// The strongest of several.
    pub fn strongest(digests: &[Self]) -> Option<&Self> {
        digests.iter().max_by_key(|digest| digest.algorithm)
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw SHA-256, if it is one.
    pub fn as_sha256(&self) -> Option<[u8; 32]> {
        (self.algorithm == Algorithm::Sha256).then(|| self.bytes().try_into().ok()).flatten()
    }

    /// Lower-case hexadecimal.
    pub fn hex(&self) -> String {
        HEXLOWER_PERMISSIVE.encode(self.bytes())
    }

    /// `algorithm:hex`.
    pub fn text(&self) -> String {
        let name = self.algorithm.name();
        let mut text = String::with_capacity(name.len() + 1 + 2 * self.bytes().len());
        text.push_str(name);
        text.push(':');
        HEXLOWER_PERMISSIVE.encode_append(self.bytes(), &mut text);
        text
    }

    /// The SHA-256 of bytes in memory.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, &sha2::Sha256::digest(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a digest"))
    }
}

/// SHA-256, which names blobs, and what else is wanted, in one pass.
#[derive(Clone, Debug)]
pub struct Hasher {
    sha256: sha2::Sha256,
    others: Vec<Other>,
}

#[derive(Clone, Debug)]
enum Other {
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
    /// Made of the SHA-256.
    H1Mod,
}

impl Hasher {
    /// Under SHA-256 and these.
    pub fn under(algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        let wanted: BTreeSet<Algorithm> = algorithms.into_iter().collect();
        let other = |algorithm| match algorithm {
            // That of a zip is not made of its bytes in their order.
            Algorithm::Sha256 | Algorithm::H1Zip => None,
            Algorithm::H1Mod => Some(Other::H1Mod),
            Algorithm::Md5 => Some(Other::Md5(md5::Md5::new())),
            Algorithm::Sha1 => Some(Other::Sha1(sha1::Sha1::new())),
            Algorithm::Sha384 => Some(Other::Sha384(sha2::Sha384::new())),
            Algorithm::Sha512 => Some(Other::Sha512(sha2::Sha512::new())),
        };
        Self { sha256: sha2::Sha256::new(), others: wanted.into_iter().filter_map(other).collect() }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        for other in &mut self.others {
            match other {
                Other::H1Mod => {}
                Other::Md5(hasher) => hasher.update(bytes),
                Other::Sha1(hasher) => hasher.update(bytes),
                Other::Sha384(hasher) => hasher.update(bytes),
                Other::Sha512(hasher) => hasher.update(bytes),
            }
        }
    }

    /// The digests of all bytes taken.
    pub fn finish(self) -> Digests {
        let digest = Digest::of;
        let sha256: [u8; 32] = self.sha256.finalize().into();
        let other = |other| match other {
            Other::H1Mod => Digest::h1(Algorithm::H1Mod, std::iter::once((&b"go.mod"[..], sha256))),
            Other::Md5(hasher) => digest(Algorithm::Md5, &hasher.finalize()),
            Other::Sha1(hasher) => digest(Algorithm::Sha1, &hasher.finalize()),
            Other::Sha384(hasher) => digest(Algorithm::Sha384, &hasher.finalize()),
            Other::Sha512(hasher) => digest(Algorithm::Sha512, &hasher.finalize()),
        };
        let others = self.others.into_iter().map(other).collect();
        Digests { sha256: digest(Algorithm::Sha256, &sha256), others }
    }
}

/// What [`Hasher`] found.
#[derive(Clone, Debug)]
pub struct Digests {
    /// The name of the blob.
    pub sha256: Digest,
    others: Vec<Digest>,
}

impl Digests {
    /// The raw SHA-256.
    pub fn sha256_bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.sha256.bytes());
        bytes
    }

    /// Those of these algorithms that were computed.
    pub fn of(&self, algorithms: &[Algorithm]) -> Vec<Digest> {
        algorithms.iter().filter_map(|algorithm| self.under(*algorithm).cloned()).collect()
    }

    /// Adds a digest that is not of the bytes in their order.
    pub fn extend(&mut self, digest: Option<Digest>) {
        self.others.extend(digest);
    }

    /// The digest under an algorithm, if it was computed.
    pub fn under(&self, algorithm: Algorithm) -> Option<&Digest> {
        std::iter::once(&self.sha256).chain(&self.others).find(|digest| digest.algorithm == algorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_SHA512: &str =
        "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==";

    #[test]
    fn spellings() {
        let integrity = Digest::from_integrity(&format!(
            "md5-1B2M2Y8AsgTpgAmY7PhCfg== sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk= sha512-{EMPTY_SHA512}?opt"
        ));
        assert_eq!(
            integrity.iter().map(|digest| digest.algorithm).collect::<Vec<_>>(),
            [Algorithm::Sha1, Algorithm::Sha512]
        );
        assert_eq!(Digest::strongest(&integrity).unwrap().algorithm, Algorithm::Sha512);
        let sha1 = Digest::from_hex(Algorithm::Sha1, "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709").unwrap();
        assert_eq!(sha1, integrity[0]);
        assert_eq!(Digest::parse(&sha1.to_string()), Some(sha1));
        for bad in ["sha1:zz", "sha1:da39", "md5:d41d8cd98f00b204e9800998ecf842", "sha256"] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
        let long = "ab".repeat(65);
        assert_eq!(Digest::from_hex(Algorithm::Sha512, &long), None);
        assert_eq!(Digest::from_hex(Algorithm::Sha512, &long[..128]).unwrap().hex(), long[..128]);
        assert_eq!(Digest::from_integrity(&format!("sha512-{EMPTY_SHA512} ").repeat(1000)).len(), MOST);
    }

    #[test]
    fn one_pass_gives_every_digest() {
        let mut hasher =
            Hasher::under([Algorithm::Sha512, Algorithm::Md5, Algorithm::Md5, Algorithm::Sha256, Algorithm::H1Mod]);
        hasher.update(b"");
        let digests = hasher.finish();
        assert_eq!(digests.sha256, Digest::sha256(b""));
        assert_eq!(digests.under(Algorithm::Sha512), Digest::from_integrity(&format!("sha512-{EMPTY_SHA512}")).first());
        assert_eq!(digests.under(Algorithm::Md5).unwrap().hex(), "d41d8cd98f00b204e9800998ecf8427e");
        assert!(digests.under(Algorithm::Sha384).is_none());
        assert_eq!(digests.of(&[Algorithm::Sha1, Algorithm::Md5]).len(), 1);
        // What the go command writes for an empty go.mod.
        let h1 = Digest::from_h1(Algorithm::H1Mod, "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=").unwrap();
        assert_eq!(digests.under(Algorithm::H1Mod), Some(&h1));
        assert_eq!(Digest::parse(&h1.to_string()).as_ref(), Some(&h1));
        for algorithm in Algorithm::ALL {
            if algorithm == Algorithm::H1Zip {
                continue;
            }
            assert!(Hasher::under([algorithm]).finish().under(algorithm).is_some());
        }
    }
}
