//! Mutations of an input by a seed: the same seed, the same bytes.

/// Texts that mean something somewhere; libFuzzer takes the same file.
const WORDS: &str = include_str!("../../../fuzz/words.dict");

/// A small generator (SplitMix64): a test needs neither more nor another crate.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// Begins anew.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `most`, which is not 0.
    pub fn roll(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most as u64).unwrap_or(0)
    }
}

/// The words of the dictionary.
pub fn words() -> Vec<Vec<u8>> {
    let quoted = WORDS
        .lines()
        .filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.map(unescape).collect()
}

/// `\xNN`, `\"` and `\\`, as libFuzzer reads them.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match (byte, byte == b'\\') {
            (_, false) => bytes.push(byte),
            (_, true) => match rest.next() {
                Some(b'x') => {
                    let hex: String = rest.by_ref().take(2).map(char::from).collect();
                    bytes.push(u8::from_str_radix(&hex, 16).unwrap_or(0));
                }
                Some(other) => bytes.push(other),
                None => {}
            },
        }
    }
    bytes
}

/// A few changes of `from`, some with parts of `other`.
pub fn mutate(dice: &mut Dice, words: &[Vec<u8>], from: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = from.to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(bytes.len() + 1);
        let length = 1 + dice.roll(16);
        let end = (at + length).min(bytes.len());
        match dice.roll(10) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << dice.roll(8),
            2 if at < bytes.len() => bytes[at] = b"\0\xff\"\\/{}[],.%\r\n 0:-"[dice.roll(18)],
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].to_vec();
                let most = if dice.roll(20) == 0 { 400 } else { 3 };
                let times = 1 + dice.roll(most);
                drop(bytes.splice(at..at, piece.repeat(times)));
            }
            5 | 6 if !words.is_empty() => {
                let word = words[dice.roll(words.len())].clone();
                let until = if dice.roll(2) == 0 {
                    at
                } else {
                    (at + word.len()).min(bytes.len())
                };
                drop(bytes.splice(at..until, word));
            }
            7 => {
                let from = dice.roll(other.len() + 1);
                let to = (from + 1 + dice.roll(64)).min(other.len());
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
            8 => bytes.truncate(at),
            _ => {
                // Another number in the place of one.
                if let Some(digit) = bytes[at..].iter().position(u8::is_ascii_digit) {
                    let start = at + digit;
                    let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                    let numbers = [
                        "0",
                        "-1",
                        "1",
                        "9223372036854775807",
                        "-9223372036854775808",
                        "18446744073709551616",
                        "1e400",
                        "0.1",
                    ];
                    let number = numbers[dice.roll(numbers.len())].bytes();
                    drop(bytes.splice(start..start + digits, number));
                }
            }
        }
    }
    bytes
}
