/** What became of money that a human must know of. */
export const alerts = {
  title: ['异常', 'Alerts'],
  open: ['待处理', 'Open'],
  noneOpen: ['没有待处理的异常，钱款都对得上', 'Nothing to deal with: all money is where it belongs'],
  none: ['还没有出现过异常', 'There has never been an alert'],
  happened: ['发生了什么', 'What happened'],
  toDo: ['怎么处理', 'What to do'],
  askManager: ['请交给店长处理', 'Leave it to a manager'],
  gatewaySays: ['支付平台的说明：{words}', 'The gateway says: {words}'],
  amounts: ['到账 {came}，订单应付 {due}', '{came} came, the order costs {due}'],
  unknownMoney: [
    '{gateway}：{amount}，商户单号 {number}，交易号 {transaction}',
    '{gateway}: {amount} under number {number}, transaction {transaction}',
  ],
  resolve: ['标为已处理', 'Dealt with'],
  byItself: ['自动退款', 'Goes back by itself'],
  noted: ['知道了', 'Noted'],
  resolved: ['{who} 于 {time} 处理', 'Dealt with by {who}, {time}'],
  resolveMoney: [
    '标为已处理不会付钱给顾客，也不会结束这笔退款。如果已用其他方式退给他，请改点「已用其他方式退款」。',
    'This neither pays the refund nor ends it. If you paid the customer by hand, say that instead.',
  ],
  resolveStuck: [
    '标为已处理后订单仍会一直等这笔付款。如果确认没有收到钱，请改用「放弃这笔付款」。',
    'The order will go on waiting for this payment. If no money came, give the payment up instead.',
  ],
  retry: ['重新退款', 'Refund again'],
  retried: [
    '已重新提交退款，到账后会自动更新',
    'The refund was put in again; you will be told when the customer has it',
  ],
  payByHand: ['已用其他方式退款', 'Paid by hand'],
  byHandSure: [
    '确认已用其他方式把钱退给顾客？之后系统不会再退这笔钱，顾客会看到退款已完成。请先在支付平台商户后台确认这笔退款没有成功。',
    'Does the customer have the money from your hand? It will not be paid again, and they will see it as done. Look at your account with the gateway first: did it pay?',
  ],
  giveUp: ['放弃这笔付款', 'Give the payment up'],
  giveUpSure: [
    '放弃后订单会取消，菜品库存退回。万一钱之后到账，会自动退给顾客。请先在支付平台商户后台确认没有收到这笔钱。',
    'The order will be called off and its stock returned. Should money come later, it goes back by itself. Look at your account with the gateway first: was it paid?',
  ],
  gaveUp: ['已放弃这笔付款', 'The payment was given up'],
  kinds: {
    payment_late: {
      title: ['付款到得太晚', 'Paid too late'],
      happened: ['订单取消以后，顾客的付款才到账。', 'The customer’s money came after the order had been called off.'],
      toDo: [
        '不用操作，系统会自动原路退款。顾客来问时，请告诉他钱会退回付款账户。',
        'Nothing: it goes back by itself. Should the customer ask, tell them it returns the way it came.',
      ],
    },
    payment_duplicate: {
      title: ['重复付款', 'Paid twice'],
      happened: ['同一个订单付了两次钱。', 'The same order was paid a second time.'],
      toDo: [
        '不用操作，多付的一笔会自动原路退回，订单照常做。',
        'Nothing: the second payment goes back by itself, and the order goes on.',
      ],
    },
    payment_mismatch: {
      title: ['付款金额不对', 'Another amount was paid'],
      happened: [
        '到账金额和订单金额不一致，这笔付款没有算数。',
        'Not what the order costs was paid, so it does not count.',
      ],
      toDo: [
        '系统会自动退回这笔钱。订单还没有付款，请不要先做；可以请顾客重新付款。',
        'The money goes back by itself. The order is not paid: do not cook it yet, and ask the customer to pay again.',
      ],
    },
    payment_unknown: {
      title: ['收到一笔来历不明的钱', 'Money of unknown origin'],
      happened: [
        '支付平台说收到一笔钱，但找不到对应的付款。',
        'The gateway says that money came, for a payment that nobody here knows.',
      ],
      toDo: [
        '请到支付平台的商户后台核对这笔交易，在那里退款，然后标为已处理。系统不会自动退这笔钱。',
        'Look the transaction up in your account with the gateway, pay it back there, then say that it is dealt with. It does not go back by itself.',
      ],
    },
    payment_stuck: {
      title: ['付款没有结果', 'A payment without an end'],
      happened: [
        '付款时间早已过了，支付平台既不说付了，也不说没付，订单一直在等。',
        'Its time is long over, the gateway says neither that it is paid nor that it is not, and the order waits.',
      ],
      toDo: [
        '请到支付平台的商户后台查这笔付款。没有收到钱，就放弃这笔付款；收到了，请等系统自动确认。',
        'Look the payment up in your account with the gateway. If no money came, give it up; if it did, wait: it will be found.',
      ],
    },
    refund_abnormal: {
      title: ['退款需要人工处理', 'A refund needs you'],
      happened: [
        '支付平台无法自动把钱退给顾客，例如顾客的卡已经注销。',
        'The gateway cannot pay the customer back by itself: their card may be closed.',
      ],
      toDo: [
        '请到支付平台的商户后台按提示处理，或联系顾客后重新退款。用其他方式退给顾客后，请点「已用其他方式退款」。',
        'Follow what your account with the gateway says, or reach the customer and refund again. If you pay by hand, say so: it is not paid again then.',
      ],
    },
    refund_failed: {
      title: ['退款失败', 'A refund failed'],
      happened: [
        '支付平台放弃了这笔退款，顾客还没有拿到钱。',
        'The gateway gave the refund up: the customer does not have the money.',
      ],
      toDo: [
        '点「重新退款」再试一次。用其他方式退给顾客后，请点「已用其他方式退款」。',
        'Refund again. If you pay by hand, say so: it is not paid again then.',
      ],
    },
    refund_stuck: {
      title: ['退款一直没有成功', 'A refund does not get through'],
      happened: [
        '试了很多次都没有退成功，例如商户账户余额不足。顾客还没有拿到钱。',
        'It was tried many times: your account with the gateway may be empty. The customer does not have the money.',
      ],
      toDo: [
        '请检查支付平台商户账户的余额，再点「重新退款」。',
        'See whether your account with the gateway holds enough, then refund again.',
      ],
    },
    refund_twice: {
      title: ['退款退了两次', 'A refund was paid twice'],
      happened: [
        '这笔退款已标为用其他方式退给顾客，之后支付平台又退了一次。',
        'You had paid this refund by hand, and now the gateway has paid it, too.',
      ],
      toDo: [
        '顾客多拿了一份退款。请联系他退还，然后标为已处理。',
        'The customer has the money twice. Ask them for what you gave by hand, then say that it is dealt with.',
      ],
    },
  },
} as const;
