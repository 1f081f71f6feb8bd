//! Counter-based random numbers: every draw is a function of (seed, arrival, purpose), so that the
//! shards of one schedule agree without talking to each other.

/// SplitMix64 (Steele, Lea, Flood 2014): one add and one finaliser per draw.
#[derive(Clone, Debug)]
pub struct Rng(u64);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// FNV-1a: names a purpose by a number that is the same on every machine.
pub const fn purpose(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01B3);
        i += 1;
    }
    hash
}

impl Rng {
    /// The stream of draws for one purpose at one index.
    pub fn at(seed: u64, purpose: u64, index: u64) -> Self {
        Self(mix(mix(mix(seed ^ GOLDEN) ^ purpose).wrapping_add(index.wrapping_mul(GOLDEN))))
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Exponential with mean 1; never infinite.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// Standard normal, by Box and Muller's method.
    pub fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Uniform integer in [0, span); a span of 0 means the whole range.
    pub fn below(&mut self, span: u64) -> u64 {
        match span {
            0 => self.next_u64(),
            _ => ((u128::from(self.next_u64()) * u128::from(span)) >> 64) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_purpose_and_index_only() {
        let draw = |seed, name, k| Rng::at(seed, purpose(name), k).next_u64();
        assert_eq!(draw(1, "id", 7), draw(1, "id", 7));
        assert_ne!(draw(1, "id", 7), draw(2, "id", 7));
        assert_ne!(draw(1, "id", 7), draw(1, "name", 7));
        assert_ne!(draw(1, "id", 7), draw(1, "id", 8));
    }

    #[test]
    fn exponentials_have_mean_and_variance_one() {
        let n = 200_000;
        let draws: Vec<f64> = (0..n).map(|k| Rng::at(3, 5, k).exponential()).collect();
        let mean = draws.iter().sum::<f64>() / n as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
    }

    #[test]
    fn below_stays_below() {
        let mut rng = Rng::at(1, 2, 3);
        assert!((0..10_000).all(|_| rng.below(7) < 7));
    }
}
