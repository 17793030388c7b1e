/** The merchant's settings. */
export const settings = {
  title: ['店铺设置', 'Settings'],
  unsaved: ['有 {n} 处修改还没保存', '{n} changes are not saved'],
  leave: ['修改还没保存，要离开吗？', 'Your changes are not saved. Leave?'],
  leaveButton: ['放弃修改并离开', 'Discard and leave'],
  stay: ['继续编辑', 'Stay'],
  reset: ['撤销修改', 'Undo the changes'],
  pause: {
    running: ['正在接单', 'Taking orders'],
    runningHint: [
      '忙不过来时可以暂停：顾客暂时不能下新单，已有的订单照常处理。',
      'Too much to do? Pause: new orders are refused, those that came before go on.',
    ],
    paused: ['已暂停接单', 'Paused'],
    pausedHint: [
      '顾客现在不能下单，已有的订单照常处理。恢复后立刻可以下单。',
      'New orders are refused; those that came before go on. Customers can order again as soon as you resume.',
    ],
    stop: ['暂停接单', 'Pause'],
    resume: ['恢复接单', 'Resume'],
  },
  shop: {
    title: ['店铺', 'The restaurant'],
    nameZh: ['店名（中文）', 'Name in Chinese'],
    nameEn: ['店名（英文）', 'Name in English'],
    alwaysOpen: ['全天营业', 'Always open'],
    opens: ['开门', 'Opens'],
    closes: ['打烊', 'Closes'],
    hoursHint: [
      '营业时间以外不能下单；打烊早于开门表示营业到第二天',
      'No orders outside of these hours. Closing before opening means: on the next day',
    ],
    zone: ['时区', 'Time zone'],
    dayStarts: ['营业日从几点开始', 'A day of business begins at'],
    dayStartsHint: [
      '到这个时间：取餐号从 1 重新开始，每日限量恢复，报表换一天',
      'Then pickup numbers begin at 1, daily stock is there again, and figures count for the next day',
    ],
  },
  orders: {
    title: ['订单', 'Orders'],
    fulfilments: ['提供的用餐方式', 'How orders can be had'],
    fulfilmentsHint: [
      '至少一种；关掉以后顾客不能再这样下单，已有的订单照常处理',
      'One at least. What is off cannot be ordered any more; orders that came before go on',
    ],
    takesCash: ['收现金', 'Take cash'],
    takesCashHint: [
      '关掉以后新订单不能选现金，已有的订单照常收款；须有其他支付方式',
      'Off: new orders cannot be paid in cash, those that came before can. There must be another way to pay',
    ],
    minimum: ['外卖起送金额（元）', 'Minimum of a delivery (yuan)'],
    minimumHint: [
      '外卖的菜品金额低于它不能下单，堂食和自取不受限；0 表示不限',
      'What the dishes of a delivery must cost at least; 0: no minimum. Dine-in and pickup have none',
    ],
    freight: ['配送费（元）', 'Freight (yuan)'],
    freeFrom: ['满多少免配送费（元）', 'Free delivery from (yuan)'],
    freeFromHint: ['不填表示不免', 'Empty: never free'],
    unpaid: ['付款时限（分钟）', 'Time to pay (minutes)'],
    unpaidHint: ['超时未付款，订单自动取消；5 到 120', 'Then an unpaid order is called off; 5 to 120'],
    autoAccept: ['自动接单', 'Accept by itself'],
    autoAcceptHint: [
      '付款后立刻接单，不用人点；新订单只响一次',
      'Orders are accepted as soon as they are paid, and ring once',
    ],
    accept: ['接单时限（分钟）', 'Time to accept (minutes)'],
    acceptHint: ['1 到 120', '1 to 120'],
    timeout: ['超时没人接单', 'When nobody answers in time'],
    timeouts: {
      reject: ['自动拒单并退款', 'Reject and refund'],
      accept: ['自动接单', 'Accept'],
    },
    complete: ['没人点完成时，多久后自动完成（分钟）', 'Complete by itself after (minutes)'],
    completeHint: [
      '从做好、开始配送、收到现金或顾客催单起算；没收的现金不会当作已收。10 到 10080，不填表示不自动完成',
      'Since it was ready, left, was paid in cash, or the customer asked for it; never while cash is owed. 10 to 10080; empty: never',
    ],
    customerCancels: ['顾客可取消等待接单的订单', 'Customers may cancel orders that wait to be accepted'],
  },
  points: {
    title: ['积分', 'Points'],
    perYuan: ['多少积分抵 1 元', 'Points that pay one yuan'],
    perYuanHint: ['0 表示不能用积分付款', '0: points pay nothing'],
    earned: ['每付 1 元得多少积分', 'Points earned for one yuan'],
    earnedHint: ['0 表示不送积分', '0: none are earned'],
    earnedOn: ['什么时候到账', 'Credited when the order is'],
    earnedOns: {
      paid: ['付款后', 'paid'],
      completed: ['订单完成后', 'completed'],
    },
  },
  webhook: {
    title: ['推送（Webhook）', 'Webhook'],
    url: ['推送地址', 'Address'],
    urlHint: [
      '订单等变化会推送到这个地址；不填则不推送',
      'Told of orders and of all else that happens; empty: nobody is told',
    ],
    log: ['查看推送记录', 'See the deliveries'],
    renew: ['更换签名密钥', 'Renew the secret'],
    renewSure: [
      '更换后，旧密钥立刻失效。接收方换上新密钥之前，会拒收推送。',
      'The secret of now ends at once: until whoever receives knows the new one, they will refuse what they are told.',
    ],
    secret: ['签名密钥', 'Secret'],
    secretHint: [
      '只显示这一次，请马上保存到接收方。丢了只能更换。',
      'Shown this once: put it where it is needed now. Lost, it can only be renewed.',
    ],
  },
  wrong: {
    name: ['请填 1 到 50 个字', '1 to 50 characters'],
    time: ['请填 09:30 这样的时间', 'A time of day such as 09:30'],
    sameTime: [
      '不能和开门时间相同；全天营业请打开上面的开关',
      'Must differ from opening; always open is the switch above',
    ],
    amount: ['请填 0 到 1000000 的金额，最多两位小数', 'An amount from 0 to 1000000, with two decimals at most'],
    range: ['请填 {min} 到 {max} 的整数', 'A whole number from {min} to {max}'],
    url: [
      '请填 http:// 或 https:// 开头的地址，不带用户名和密码',
      'An address that begins with http:// or https://, without a user',
    ],
  },
} as const;
