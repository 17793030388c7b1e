import type { Words } from './words';

export const menu = {
  soldOut: ['已售罄', 'Sold out'],
  offSale: ['已下架', 'Off sale'],
  left: ['剩 {n}', '{n} left'],
  noneLeft: ['已卖完', 'None left'],
  setAside: ['留存 {n} 份', '{n} set aside'],
  markSoldOut: ['售罄', 'Mark sold out'],
  bringBack: ['恢复 {n} 份', 'Bring back {n}'],
  bringNoneBack: ['恢复', 'Bring back'],
  recount: ['重新清点', 'Recount'],
  recountOf: ['{goods}：现有份数', '{goods}: units there are'],
  loading: ['菜单加载中…', 'Loading the menu…'],
  nothingFound: ['没有符合条件的菜品', 'No dish is like that'],
  panel: {
    title: ['售罄管理', 'Sold out'],
    search: ['搜索菜品', 'Find a dish'],
    all: ['在售 {n}', 'On sale {n}'],
    soldOut: ['已售罄 {n}', 'Sold out {n}'],
    low: ['紧张 {n}', 'Low {n}'],
    filter: ['筛选', 'Show'],
    noneSetAside: ['没有留存的份数，请店长清点后恢复', 'None was set aside: a manager must count what there is'],
  },
} as const satisfies Words;
