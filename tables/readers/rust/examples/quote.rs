//! Prints the quotes of a table at an inventory, and prices around 100 on ticks of 0.01:
//!
//! ```text
//! cargo run --example quote examples/tiny.safetensors INVENTORY [TIME]
//! ```
//!
//! `tiny.safetensors` is the example of Guéant, Lehalle and Fernandez-Tapia (2013) with limits of 3 lots and 6
//! stored times, from 0 to 600 s.

use std::error::Error;
use std::process::ExitCode;

use quotegrid::{
    Between, Check, Corners, GuardedQuoter, Market, Moment, Outside, Rounding, Rules, State, Table,
};

fn quote(path: &str, inventory: f64, time: Option<f64>) -> Result<(), Box<dyn Error>> {
    let table = Table::load(path, Check::All)?;
    let rules = Rules { between: Between::TowardsFlat, outside: Outside::Refuse };
    let state = State { time, inventory: &[inventory], ..State::default() };
    let mut corners = Corners::new();

    let quote = table.look_up(rules, &state, &mut corners)?;
    for number in 0..table.flow_count() {
        let Some(flow) = table.flow(number) else { continue };
        let side = if flow.side > 0 { "bid" } else { "ask" };
        match quote.offset(number) {
            Some(offset) => println!("{}/{side} {offset} {}", flow.name, table.price_unit()),
            None => println!("{}/{side} not quoted", flow.name),
        }
    }

    let symbol = String::from(table.symbols().get(0).unwrap_or("")); // a quoter knows what it trades
    let quoter = GuardedQuoter::new(table, &[&symbol], &[0.01], rules, Rounding::Outward, true)?;
    let market = Market { reference: 100.0, best_bid: 99.99, best_ask: 100.01 };
    let moment = Moment { now: None, state, markets: &[market] };
    let mut prices = vec![None; quoter.table().flow_count()];
    quoter.prices(&moment, &mut corners, &mut prices)?;
    for price in prices {
        match price {
            Some(price) => println!("{} ticks", price.ticks),
            None => println!("none"),
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let number = |place: usize| words.get(place).map(|word| word.parse::<f64>());
    let (Some(path), Some(Ok(inventory)), Ok(time)) = (words.get(1), number(2), number(3).transpose()) else {
        eprintln!("usage: quote TABLE.safetensors INVENTORY [TIME]");
        return ExitCode::from(2);
    };
    match quote(path, inventory, time) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("refused: {error}");
            ExitCode::FAILURE
        }
    }
}
