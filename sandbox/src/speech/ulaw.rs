//! G.711 µ-law. An ear compares codes, not samples, so that audio is recognised whether it came as
//! PCM or passed through the telephone network's coding once.

const BIAS: i32 = 0x84;
const CLIP: i32 = 32_635;

/// The byte a quiet µ-law line carries.
pub const SILENCE: u8 = 0xff;

/// One 16-bit sample as a µ-law byte.
pub fn encode(sample: i16) -> u8 {
    let (sign, magnitude) = if sample < 0 { (0x80, -i32::from(sample)) } else { (0, i32::from(sample)) };
    let biased = magnitude.min(CLIP) + BIAS;
    // The bias guarantees that bit 7 or a higher one is set.
    let exponent = 24 - biased.leading_zeros() as i32;
    let mantissa = (biased >> (exponent + 3)) & 0x0f;
    !((sign | (exponent << 4) | mantissa) as u8)
}

/// One µ-law byte as a 16-bit sample.
pub fn decode(code: u8) -> i16 {
    let code = !code;
    let exponent = i32::from(code >> 4) & 0x07;
    let magnitude = (((i32::from(code & 0x0f) << 3) + BIAS) << exponent) - BIAS;
    (if code & 0x80 == 0 { magnitude } else { -magnitude }) as i16
}

/// The code an ear compares. µ-law has two zeros; a second pass would turn the negative one into
/// the positive, so they count as one.
pub(super) fn canonical(sample: i16) -> u8 {
    match encode(sample) {
        0x7f => SILENCE,
        code => code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_a_round_trip() {
        for code in 0..=u8::MAX {
            let back = encode(decode(code));
            assert!(back == code || (code == 0x7f && back == SILENCE), "{code:#x} became {back:#x}");
        }
    }

    #[test]
    fn coding_twice_changes_nothing_more() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(canonical(decode(encode(sample))), canonical(sample), "{sample}");
        }
        assert_eq!(decode(SILENCE), 0);
    }
}
