//! G.711, the telephone's 8 bits per sample (ITU-T G.711): µ-law as Twilio's streams use it, A-law for Indian trunks.

/// What silence is in µ-law: never zero, which would be full scale.
pub const ULAW_SILENCE: u8 = 0xFF;

const BIAS: i32 = 0x84;
const CLIP: i32 = 32_635;

const ULAW_TO_PCM: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = !(code as u8);
        let exponent = (bits >> 4) & 7;
        let mantissa = (bits & 15) as i32;
        let magnitude = (((mantissa << 3) + BIAS) << exponent) - BIAS;
        table[code] = if bits & 0x80 == 0 { magnitude as i16 } else { -magnitude as i16 };
        code += 1;
    }
    table
};

const ALAW_TO_PCM: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = (code as u8) ^ 0x55;
        let exponent = (bits >> 4) & 7;
        let mantissa = (bits & 15) as i32;
        let magnitude = if exponent == 0 { (mantissa << 4) + 8 } else { ((mantissa << 4) + 0x108) << (exponent - 1) };
        table[code] = if bits & 0x80 == 0 { -magnitude as i16 } else { magnitude as i16 };
        code += 1;
    }
    table
};

pub fn decode_ulaw(code: u8) -> i16 {
    ULAW_TO_PCM[usize::from(code)]
}

pub fn decode_alaw(code: u8) -> i16 {
    ALAW_TO_PCM[usize::from(code)]
}

pub fn encode_ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    // The bias puts the highest bit at 7 or above.
    let exponent = 31 - magnitude.leading_zeros() as i32 - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 15;
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

pub fn encode_alaw(sample: i16) -> u8 {
    let (sign, magnitude) = if sample < 0 { (0, i32::from(sample).abs() - 1) } else { (0x80, i32::from(sample)) };
    let magnitude = magnitude.clamp(0, CLIP);
    let exponent = if magnitude < 0x100 { 0 } else { 31 - magnitude.leading_zeros() as i32 - 7 };
    let mantissa = (magnitude >> if exponent == 0 { 4 } else { exponent + 3 }) & 15;
    (sign | (exponent << 4) as u8 | mantissa as u8) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_round_trip() {
        for code in 0..=255u8 {
            // µ-law has two codes for zero.
            let back = encode_ulaw(decode_ulaw(code));
            assert!(back == code || decode_ulaw(code) == 0 && decode_ulaw(back) == 0, "µ-law {code:#x} -> {back:#x}");
            assert_eq!(encode_alaw(decode_alaw(code)), code, "A-law {code:#x}");
        }
    }

    #[test]
    fn known_values_are_those_of_the_standard() {
        assert_eq!(decode_ulaw(ULAW_SILENCE), 0);
        assert_eq!(decode_ulaw(0x00), -32_124);
        assert_eq!(decode_ulaw(0x80), 32_124);
        assert_eq!(decode_alaw(0xD5), 8);
        assert_eq!(decode_alaw(0x2A), -32_256);
        assert_eq!(encode_ulaw(i16::MIN), 0x00);
        assert_eq!(encode_ulaw(i16::MAX), 0x80);
    }

    #[test]
    fn the_error_stays_within_the_step() {
        for sample in (i16::MIN..=i16::MAX).step_by(37) {
            let step = (i32::from(sample).abs() / 16).max(16) + 600 * i32::from(i32::from(sample).abs() > CLIP);
            for back in [decode_ulaw(encode_ulaw(sample)), decode_alaw(encode_alaw(sample))] {
                assert!((i32::from(back) - i32::from(sample)).abs() <= step, "{sample} became {back}");
            }
        }
    }
}
