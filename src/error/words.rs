//! What people are told of an error, in Chinese and in English.

use super::Error;
use crate::domain::order::{FulfilmentKind, OrderState, PayMethod};
use crate::domain::payment::RefundState;
use crate::domain::placement::BadLines;
use crate::domain::{GoodsId, LocalText, Refusal};
use crate::store::cause;

impl Error {
    /// The words, in Chinese and in English.
    pub(super) fn detail(&self) -> LocalText {
        let busy = || LocalText::new("服务繁忙，请稍后重试。", "The service is busy; try again shortly.");
        match self {
            Self::MalformedBody { reason, .. } => {
                LocalText::new(format!("请求体格式不正确：{reason}"), format!("The body is malformed: {reason}."))
            }
            Self::MalformedQuery(reason) => {
                LocalText::new(format!("查询参数不正确：{reason}"), format!("The query string is malformed: {reason}."))
            }
            Self::KeyMissing => LocalText::new(
                "缺少 Idempotency-Key 请求头。",
                "Send an Idempotency-Key header: one key per request, the same on retry.",
            ),
            Self::KeyMalformed => LocalText::new(
                "Idempotency-Key 须只出现一次，且为 1 到 128 个可见 ASCII 字符。",
                "Send one Idempotency-Key of 1 to 128 visible ASCII characters.",
            ),
            Self::KeyReused => LocalText::new(
                "该 Idempotency-Key 已用于内容不同的请求。",
                "This Idempotency-Key stands for a request with other contents.",
            ),
            Self::Unauthenticated => LocalText::new("请先登录。", "Log in first: send a valid bearer token."),
            Self::TokenExpired => LocalText::new("登录已过期，请重新登录。", "The token has expired; log in again."),
            Self::LoginRefused => LocalText::new("登录凭证无效。", "The login code is not valid."),
            Self::LoginNotOffered => {
                LocalText::new("该商家没有可登录的小程序。", "This merchant has no mini-program to log in from.")
            }
            Self::LoginUnavailable(_) => LocalText::new(
                "登录服务暂时没有响应，请稍后重试。",
                "The login provider does not answer at the moment; try again shortly.",
            ),
            Self::PasswordRefused => LocalText::new("账号或密码不正确。", "Login or password is wrong."),
            Self::Forbidden(permission) => {
                LocalText::new("当前角色没有此操作的权限。", format!("Your role does not permit it: {permission}."))
            }
            Self::IllegalMove { made, state } => LocalText::new(
                format!("订单{}，不能进行此操作。", state_zh(*state)),
                format!("The order is {state}; it cannot be moved by {made}."),
            ),
            Self::CancelNotAllowed => LocalText::new(
                "商家不支持自助取消等待接单的订单，请联系商家。",
                "This merchant does not let customers cancel orders that wait to be accepted; please call.",
            ),
            Self::PointsSpent => LocalText::new(
                "该订单赠送的积分等已经用掉，不能自助取消，请联系商家。",
                "You have spent points that this order brought, so you cannot cancel it yourself; please call.",
            ),
            Self::CashNotCollected => LocalText::new(
                "现金尚未收取，订单还不能完成。",
                "The cash for the order is to be collected before it is complete.",
            ),
            Self::NothingToCollect => {
                LocalText::new("该订单无需收取现金。", "There is no cash to collect for this order.")
            }
            Self::NudgedAlready { .. } => {
                LocalText::new("刚刚已催单，请稍后再试。", "You have asked a moment ago; give it some time.")
            }
            Self::PaymentTimeOver => {
                LocalText::new("支付时间已过，请重新下单。", "The time to pay is over; place the order again.")
            }
            Self::TooManyPayments { payments_max } => LocalText::new(
                format!("该订单已发起 {payments_max} 次支付，请完成其中一笔或重新下单。"),
                format!("{payments_max} payments of this order have been begun; finish one, or place the order again."),
            ),
            Self::PaymentOpen(_) => LocalText::new("订单有未完成的支付。", "A payment of the order is open."),
            Self::PaymentInProgress => LocalText::new(
                "顾客可能正在支付，请稍后重试。",
                "The customer may be paying at this moment; try again in a few seconds.",
            ),
            Self::PaymentRefused { .. } => {
                LocalText::new("支付平台拒绝了该笔支付。", "The gateway does not accept this payment.")
            }
            Self::RefundGoesOn(state) => {
                let (zh, en) = match state {
                    RefundState::Due => {
                        ("退款正在提交，请等待结果。", "The refund is being asked for; wait for what comes of it.")
                    }
                    RefundState::Submitted => (
                        "支付平台正在处理这笔退款，可能仍会退给顾客。",
                        "The gateway has taken the refund on, and may still pay it.",
                    ),
                    RefundState::Succeeded => ("这笔退款已完成。", "The customer has the money."),
                    RefundState::Abnormal | RefundState::Failed => {
                        ("这笔退款的状态刚刚有变化，请刷新。", "The refund has changed a moment ago; look again.")
                    }
                };
                LocalText::new(zh, en)
            }
            Self::AlertResolved => LocalText::new("该提醒已处理。", "Somebody has dealt with this before."),
            Self::GatewayUnavailable(_) => LocalText::new(
                "支付平台暂时没有响应，请稍后重试。",
                "The gateway does not answer at the moment; try again shortly.",
            ),
            Self::RefundTooLarge { amount, left } => LocalText::new(
                format!("退款 {amount} 元超过可退金额 {left} 元。"),
                format!("{amount} yuan cannot be paid back: {left} are left of what was paid."),
            ),
            Self::BalanceTooLow { balance } => {
                LocalText::new(format!("余额不足：当前为 {balance}。"), format!("The account holds {balance} only."))
            }
            Self::StockTooLow { stock } => {
                LocalText::new(format!("库存不足：当前为 {stock}。"), format!("There are {stock} units only."))
            }
            Self::NotEmpty => {
                LocalText::new("其下仍有内容，请先移走或删除。", "It is not empty; move or remove what is in it first.")
            }
            Self::BadSheet(faults) => {
                let count = faults.len();
                LocalText::new(
                    format!("文件有误（{count} 处），未做任何修改。"),
                    format!("Nothing was changed: the file has errors ({count})."),
                )
            }
            Self::MenuChanged => LocalText::new(
                "菜单在预览之后有改动，请重新预览。",
                "The menu has changed since the preview; look at it again.",
            ),
            Self::LoginTaken => LocalText::new("该登录名已被使用。", "Somebody else logs in by that name."),
            Self::NameTaken => LocalText::new("同类账户中已有该名称。", "There is an account of that kind and name."),
            Self::LastOwner => LocalText::new(
                "至少须保留一名可登录的店主。",
                "One owner at least must be able to log in; make another one first.",
            ),
            Self::WrongMerchant => LocalText::new("登录凭证属于其他商家。", "The token is for another merchant."),
            Self::NotFound => LocalText::new("未找到。", "Not found."),
            Self::MethodNotAllowed { .. } => {
                LocalText::new("不支持该请求方法。", "This path does not take that method.")
            }
            Self::AddressBookFull { addresses_max } => LocalText::new(
                format!("最多保存 {addresses_max} 个地址。"),
                format!("An address book holds at most {addresses_max} addresses."),
            ),
            Self::CartFull { lines_max } => LocalText::new(
                format!("购物车最多放 {lines_max} 种商品。"),
                format!("A cart holds at most {lines_max} kinds of goods."),
            ),
            Self::ExportTooLarge { orders_max } => LocalText::new(
                format!("导出最多 {orders_max} 个订单，请缩小日期范围。"),
                format!("An export holds at most {orders_max} orders; choose fewer days."),
            ),
            Self::EmptyCart => LocalText::new("购物车中没有选中的商品。", "Nothing is selected in the cart."),
            Self::BodyTooLarge(max) => LocalText::new(
                format!("请求体不得超过 {max} 字节。"),
                format!("The body may have at most {max} bytes."),
            ),
            Self::NotJson => LocalText::new(
                "Content-Type 须为 application/json，且不得压缩。",
                "The Content-Type must be application/json, without a Content-Encoding.",
            ),
            Self::NotCsv => LocalText::new(
                "Content-Type 须为 text/csv，且不得压缩。",
                "The Content-Type must be text/csv, without a Content-Encoding.",
            ),
            Self::BodyTooSlow => LocalText::new("请求体未及时到达。", "The body did not arrive in time."),
            Self::InvalidField { field, reason } => LocalText::new(
                format!("{field} 不正确：{}。", reason.zh),
                format!("{field} is not valid: {}.", reason.en),
            ),
            Self::BadLines(bad) => bad_lines_detail(*bad),
            Self::Refused(refusal) => refusal_detail(refusal),
            Self::TooManyRequests { .. } => {
                LocalText::new("请求过于频繁，请稍后再试。", "Too many requests; slow down.")
            }
            Self::Http(_) => LocalText::new("请求无效。", "The request is not valid."),
            Self::OutcomeUnknown => LocalText::new(
                "结果未知：下单请用相同的 Idempotency-Key 重试，其他请求请先查看是否已生效。",
                "The outcome is unknown: repeat an order with the same Idempotency-Key; otherwise look first whether it took effect.",
            ),
            Self::QueueFull => LocalText::new(
                "排队的订单过多，请稍后用相同的 Idempotency-Key 重试。",
                "Too many orders wait. Try again shortly, with the same Idempotency-Key: an earlier try may have been placed.",
            ),
            Self::TooManyStreams => LocalText::new(
                "实时连接数已达上限，请稍后重试。",
                "As many streams of events are open as may be; try again shortly, or poll.",
            ),
            Self::AlreadyDelivered => LocalText::new("该推送已送达。", "This has been delivered."),
            Self::NoWebhook => {
                LocalText::new("尚未设置推送地址。", "There is no webhook to deliver to; set one first.")
            }
            Self::Unavailable(_) | Self::StockChanged | Self::LeaseLost => busy(),
            Self::Database(error) if cause(error).is_some() => busy(),
            Self::Database(_) | Self::Internal(_) => {
                LocalText::new("服务内部错误。", "Something went wrong on our side; the request id helps to find it.")
            }
        }
    }
}

const fn state_zh(state: OrderState) -> &'static str {
    match state {
        OrderState::PendingPayment => "待付款",
        OrderState::PendingAccept => "待接单",
        OrderState::Accepted => "已接单",
        OrderState::Preparing => "制作中",
        OrderState::Ready => "待取餐",
        OrderState::Delivering => "配送中",
        OrderState::Completed => "已完成",
        OrderState::Cancelled => "已取消",
        OrderState::Rejected => "已拒单",
    }
}

const fn method_zh(method: PayMethod) -> &'static str {
    match method {
        PayMethod::Cash => "现金支付",
        PayMethod::Sandbox => "沙盒支付",
        PayMethod::Wechat => "微信支付",
        PayMethod::Alipay => "支付宝支付",
    }
}

fn bad_lines_detail(bad: BadLines) -> LocalText {
    match bad {
        BadLines::Empty => LocalText::new("订单为空。", "The order is empty."),
        BadLines::TooMany { lines_max } => LocalText::new(
            format!("订单最多 {lines_max} 行。"),
            format!("An order may have at most {lines_max} lines."),
        ),
        BadLines::Count { count_max, .. } => LocalText::new(
            format!("每种商品的数量须在 1 到 {count_max} 之间。"),
            format!("The count of each goods must be from 1 to {count_max}, over all its lines."),
        ),
    }
}

fn refusal_detail(refusal: &Refusal) -> LocalText {
    let list = |ids: &[GoodsId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match refusal {
        Refusal::ShopPaused => LocalText::new("商家暂停接单。", "The shop takes no orders at the moment."),
        Refusal::ShopClosed { opens_at, closes_at } => {
            let (opens_at, closes_at) = (opens_at.format("%H:%M"), closes_at.format("%H:%M"));
            LocalText::new(
                format!("商家休息中，营业时间 {opens_at}–{closes_at}。"),
                format!("The shop is closed; it is open from {opens_at} to {closes_at}."),
            )
        }
        Refusal::FulfilmentNotOffered(kind) => {
            let (zh, en) = match kind {
                FulfilmentKind::DineIn => ("堂食", "dine-in"),
                FulfilmentKind::Pickup => ("自取", "pickup"),
                FulfilmentKind::Delivery => ("外卖", "delivery"),
            };
            LocalText::new(format!("商家不提供{zh}。"), format!("This merchant does not offer {en}."))
        }
        Refusal::PayMethodNotOffered(method) => LocalText::new(
            format!("商家不支持{}。", method_zh(*method)),
            format!("This merchant does not take payments by {method}."),
        ),
        Refusal::UnknownAddress => LocalText::new("收货地址不存在。", "Your address book has no such address."),
        Refusal::UnknownGoods(ids) => {
            LocalText::new(format!("商品不存在：{}。", list(ids)), format!("No such goods: {}.", list(ids)))
        }
        Refusal::NotOnSale(ids) => {
            LocalText::new(format!("商品已下架：{}。", list(ids)), format!("Not on sale: {}.", list(ids)))
        }
        Refusal::OutOfStock(short) => {
            let zh: Vec<String> = short.iter().map(|s| format!("商品 {} 仅剩 {} 份", s.goods_id, s.left)).collect();
            let en: Vec<String> = short.iter().map(|s| format!("{} left of goods {}", s.left, s.goods_id)).collect();
            LocalText::new(format!("库存不足：{}。", zh.join("，")), format!("Out of stock: {}.", en.join(", ")))
        }
        Refusal::BelowMinimum { minimum, goods_amount } => LocalText::new(
            format!("外卖起送金额为 {minimum} 元，当前 {goods_amount} 元。"),
            format!("Deliveries start at {minimum} yuan; this one has {goods_amount}."),
        ),
        Refusal::CartPlaced { order_id } => LocalText::new(
            format!("该购物车已下单：{order_id}。"),
            format!("This cart was placed already, as order {order_id}."),
        ),
        Refusal::PointsNotTaken => LocalText::new("商家不支持积分抵扣。", "This merchant takes no points."),
        Refusal::TooFewPoints { points, balance } => LocalText::new(
            format!("积分不足：需要 {points}，仅有 {balance}。"),
            format!("{points} points are more than the {balance} you have."),
        ),
        Refusal::TooManyPoints { points, points_max } => LocalText::new(
            format!("积分最多可用 {points_max}，而非 {points}。"),
            format!("{points} points are more than the order costs; at most {points_max} can be spent."),
        ),
        Refusal::PriceChanged { expected, total } => LocalText::new(
            format!("价格已变动：应付 {total} 元，而非 {expected} 元。"),
            format!("The price has changed: the total is {total} yuan, not {expected}."),
        ),
    }
}
