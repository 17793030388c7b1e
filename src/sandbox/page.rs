//! The pages: a payment with its buttons, and all payments with the switches. Plain HTML, which works without scripts.
//!
//! Contract: whatever somebody sent is escaped, because everything is that is not marked otherwise in the template.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::book::{Payment, PaymentState, RefundState, is_url};
use super::provider::Provider;
use super::refusal::Refusal;
use super::switches::{Call, Fate, Switches};

const STYLE: &str = include_str!("style.css");
const PAYMENT: &str = include_str!("payment.html");
const ALL: &str = include_str!("all.html");
/// Payments that the list shows.
const SHOWN: usize = 50;

/// Where the customer goes back to, as whoever sent them here has put it behind the page's address.
#[derive(Deserialize)]
pub(super) struct Way {
    return_url: Option<String>,
}

/// The page of a payment. Its buttons post to its own address, with what stands behind that.
pub(super) fn payment(provider: &Provider, number: &str, way: &Way) -> Result<String, Refusal> {
    let now = provider.clock.now();
    let desk = provider.desk();
    let payment = desk.book.payment(number)?;
    let switches = desk.switches.of(Some(number));
    let state = payment.state(now);
    let can_pay = match state {
        PaymentState::Open | PaymentState::Paying => true,
        PaymentState::Closed => switches.pay_late,
        PaymentState::Paid => false,
    };
    let mut buttons = String::new();
    let mut button = |name: &str, class: &str, words: &str| {
        let _ = write!(buttons, r#"<button name="press" value="{name}" class="{class}">{words}</button>"#);
    };
    if can_pay {
        button("pay", "main", "支付 <span lang=\"en\">Pay</span>");
    }
    match state {
        PaymentState::Open => button("type", "", "输入密码 <span lang=\"en\">Type the password</span>"),
        PaymentState::Paying => button("cancel", "", "取消 <span lang=\"en\">Cancel</span>"),
        PaymentState::Paid | PaymentState::Closed => {}
    }
    let mut came_in = String::new();
    for transaction in &payment.transactions {
        let _ = write!(
            came_in,
            "<li>¥ {} <small>{} · {}</small></li>",
            transaction.amount,
            escape(&transaction.id),
            time(transaction.paid_at)
        );
    }
    for refund in &payment.refunds {
        let _ = write!(
            came_in,
            "<li>− ¥ {} <small>{} · {}</small></li>",
            refund.terms.amount,
            escape(&refund.terms.number),
            refund_words(refund.state)
        );
    }
    let back = way.return_url.as_deref().filter(|url| is_url(url)).map_or_else(String::new, |url| {
        let class = if state == PaymentState::Paid { "button main" } else { "button" };
        format!(r#"<a class="{class}" href="{}">返回商家 <span lang="en">Back to the shop</span></a>"#, escape(url))
    });
    let (class, words) = words(state);
    Ok(fill(
        PAYMENT,
        &[
            ("style", STYLE),
            ("merchant", &payment.terms.merchant.to_string()),
            ("number", number),
            ("amount", &payment.terms.amount.to_string()),
            ("description", &payment.terms.description),
            ("expires_at", &time(payment.terms.expires_at)),
            ("class", class),
            ("state", words),
            ("buttons", &buttons),
            ("back", &back),
            ("came_in", &came_in),
        ],
    ))
}

/// The page of all payments, with the switches of one of them, or of all.
pub(super) fn all(provider: &Provider, number: Option<&str>) -> String {
    let now = provider.clock.now();
    let desk = provider.desk();
    let rows: String = desk.book.all().rev().take(SHOWN).map(|payment| row(payment, now)).collect();
    let rows = if rows.is_empty() {
        "<tr><td>还没有支付 <span lang=\"en\">No payments yet</span></td></tr>".to_owned()
    } else {
        rows
    };
    let whose = number.map_or("所有支付 All payments".to_owned(), |number| format!("支付 Payment {number}"));
    let switches = fields(desk.switches.of(number));
    let number = number.unwrap_or_default();
    fill(ALL, &[("style", STYLE), ("rows", &rows), ("whose", &whose), ("number", number), ("switches", &switches)])
}

fn row(payment: &Payment, now: DateTime<Utc>) -> String {
    let (class, words) = words(payment.state(now));
    let number = escape(&payment.terms.number);
    format!(
        "<tr><td><a href=\"/sandbox/pay/{number}\">{}</a><small>{} · 商户 <span lang=\"en\">merchant</span> {} · \
         <a href=\"/sandbox?number={number}\">开关 <span lang=\"en\">switches</span></a></small></td>\
         <td class=\"sum\">¥ {}<small class=\"{class}\">{words}</small></td></tr>",
        escape(&payment.terms.description),
        time(payment.created_at),
        payment.terms.merchant,
        payment.terms.amount,
    )
}

/// The switches as the inside of a form.
fn fields(switches: &Switches) -> String {
    let mut html = String::new();
    let mut tick = |name: &str, is_on: bool, zh: &str, en: &str| {
        let checked = if is_on { " checked" } else { "" };
        let _ = write!(
            html,
            "<label><input type=\"checkbox\" name=\"{name}\"{checked}> {zh} <span lang=\"en\">{en}</span></label>"
        );
    };
    tick("pay_twice", switches.pay_twice, "付两次", "pay twice");
    tick("pay_late", switches.pay_late, "关闭后仍可付", "can be paid when closed");
    tick("never_call", switches.never_call, "从不通知", "never call back");
    tick("forge", switches.forge, "先发两条伪造通知", "two forged notices first");
    tick("repeat", switches.repeat, "同时发十次", "ten notices at once");
    tick("reorder", switches.reorder, "通知乱序", "a later notice first");
    for call in Call::ALL {
        let (name, zh) = (call.name(), "生效后答");
        tick(&format!("fail_{name}"), switches.fail_after.contains(&call), &format!("{zh} 500"), &words_of(call));
        tick(&format!("hang_{name}"), switches.hang_after.contains(&call), "生效后超时", &words_of(call));
    }
    let amount = switches.pay_amount.map(|amount| amount.to_string()).unwrap_or_default();
    let mut number = |name: &str, value: &str, zh: &str, en: &str| {
        let _ = write!(
            html,
            "<label>{zh} <span lang=\"en\">{en}</span> <input name=\"{name}\" value=\"{}\" inputmode=\"decimal\"></label>",
            escape(value)
        );
    };
    number("pay_amount", &amount, "实付金额", "another amount, yuan");
    number("delay_s", &switches.delay_s.to_string(), "通知延迟秒数", "seconds before a notice");
    number("refund_asks", &switches.refund_asks.to_string(), "退款查询几次后完成", "questions until a refund is done");
    html.push_str("<label>退款结果 <span lang=\"en\">refunds</span> <select name=\"refund\">");
    for (name, fate) in Fate::ALL {
        let selected = if switches.refund == fate { " selected" } else { "" };
        let _ = write!(html, "<option{selected}>{name}</option>");
    }
    html.push_str("</select></label>");
    html
}

fn words_of(call: Call) -> String {
    format!("after {}", call.name().replace('_', " of "))
}

const fn words(state: PaymentState) -> (&'static str, &'static str) {
    match state {
        PaymentState::Open => ("open", "待支付 Waiting for payment"),
        PaymentState::Paying => ("paying", "正在输入密码 Typing the password"),
        PaymentState::Paid => ("paid", "已支付 Paid"),
        PaymentState::Closed => ("closed", "已关闭 Closed"),
    }
}

const fn refund_words(state: RefundState) -> &'static str {
    match state {
        RefundState::Processing => "退款中 on its way back",
        RefundState::Succeeded => "已退款 refunded",
        RefundState::Failed => "退款失败 refund failed",
        RefundState::Abnormal => "退款异常 refund stuck",
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Puts values where their names stand: `{{name}}` escaped, `{{&name}}` as they are. Names within values are left alone.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut page = String::new();
    let mut parts = template.split("{{");
    page.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (name, rest) = part.split_once("}}").expect("what is opened in a template of ours is closed");
        let (name, is_html) = name.strip_prefix('&').map_or((name, false), |name| (name, true));
        let (_, value) =
            values.iter().find(|(known, _)| *known == name).expect("a template of ours names what there is");
        page.push_str(&if is_html { (*value).to_owned() } else { escape(value) });
        page.push_str(rest);
    }
    page
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_marked_is_escaped_and_not_filled_again() {
        let filled = fill("{{a}}|{{&b}}|{{a}}", &[("a", "<{{&b}}\"'&>"), ("b", "<b>")]);
        assert_eq!(filled, "&lt;{{&amp;b}}&quot;&#39;&amp;&gt;|<b>|&lt;{{&amp;b}}&quot;&#39;&amp;&gt;");
    }
}
