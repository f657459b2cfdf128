//! What a new user may get wrong, for the Rust reader: says the refusal, or how many flows are quoted.
//!
//! ```text
//! wrong_steps TABLE SYMBOL TICK LOTS REFERENCE BID ASK NOW       "-": forgotten
//! ```

use quotegrid::{
    Check, Corners, GuardedQuoter, LoadError, Market, Moment, Refusal, Rounding, Rules, State, Table,
};

fn quoted(words: &[String]) -> Result<usize, Refusal> {
    let number = |place: usize| words[place].parse::<f64>().ok();
    let table = match Table::load(&words[1], Check::All) {
        Ok(table) => table,
        Err(error) => {
            let name = match error {
                LoadError::Unreadable(_) => "file-unreadable",
                LoadError::Refused(error) => error.name(),
            };
            println!("{name} 0");
            std::process::exit(0);
        }
    };
    let symbols: Vec<&str> = Some(words[2].as_str()).filter(|word| *word != "-").into_iter().collect();
    let ticks: Vec<f64> = number(3).into_iter().collect();
    let quoter = GuardedQuoter::new(table, &symbols, &ticks, Rules::default(), Rounding::Outward, true)?;
    let lots: Vec<f64> = number(4).into_iter().collect();
    let market = number(5).map(|reference| Market {
        reference,
        best_bid: number(6).unwrap_or(f64::NEG_INFINITY),
        best_ask: number(7).unwrap_or(f64::INFINITY),
    });
    let markets: Vec<Market> = market.into_iter().collect();
    let state = State { inventory: &lots, ..State::default() };
    let moment = Moment { now: number(8), state, markets: &markets };
    let mut prices = vec![None; quoter.table().flow_count()];
    quoter.prices(&moment, &mut Corners::new(), &mut prices)?;
    Ok(prices.iter().flatten().count())
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    match quoted(&words) {
        Ok(count) => println!("ok {count}"),
        Err(refusal) => println!("{refusal} 0"),
    }
}
