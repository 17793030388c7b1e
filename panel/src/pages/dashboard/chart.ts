/** The parts of ECharts that the dashboard draws with, and nothing else of it. */
import { BarChart, LineChart, type BarSeriesOption, type LineSeriesOption } from 'echarts/charts';
import {
  GridComponent,
  LegendComponent,
  TooltipComponent,
  type GridComponentOption,
  type LegendComponentOption,
  type TooltipComponentOption,
} from 'echarts/components';
import { init, use, type ComposeOption } from 'echarts/core';
import { CanvasRenderer } from 'echarts/renderers';
import { fromFen } from '@/format';

use([BarChart, LineChart, GridComponent, LegendComponent, TooltipComponent, CanvasRenderer]);

export { init };

export type Drawing = ComposeOption<
  BarSeriesOption | LineSeriesOption | GridComponentOption | LegendComponentOption | TooltipComponentOption
>;

const GREEN = '#15803d';
const BROWN = '#9a4a08';
const INK = '#1c2420';

/** What all drawings share. They stand still: a counter's tablet has better things to do. */
const BASE = {
  animation: false,
  textStyle: { color: INK, fontFamily: 'inherit' },
  grid: { left: 8, right: 8, top: 40, bottom: 8, containLabel: true },
} satisfies Drawing;

const yuanOf = (fen: unknown) => `¥${fromFen(Number(fen))}`;
/** Ticks of an axis need no fen. */
const roughly = (fen: number) => `¥${fromFen(fen).replace(/\.00$/, '')}`;

/** Turnover as columns and orders as a line, over days or hours. */
export function overTime(
  labels: string[],
  turnover: { name: string; fen: number[] },
  placed: { name: string; counts: number[] },
): Drawing {
  return {
    ...BASE,
    legend: { top: 0, left: 0 },
    tooltip: { trigger: 'axis', confine: true },
    xAxis: { type: 'category', data: labels, axisLabel: { hideOverlap: true } },
    yAxis: [
      { type: 'value', min: 0, axisLabel: { formatter: roughly } },
      { type: 'value', min: 0, minInterval: 1, splitLine: { show: false } },
    ],
    series: [
      {
        type: 'bar',
        name: turnover.name,
        data: turnover.fen,
        color: GREEN,
        barMaxWidth: 36,
        tooltip: { valueFormatter: yuanOf },
      },
      {
        type: 'line',
        name: placed.name,
        data: placed.counts,
        yAxisIndex: 1,
        color: BROWN,
        symbol: 'diamond',
        symbolSize: 8,
        lineStyle: { width: 2, type: 'dashed' },
      },
    ],
  };
}

/** The best first, each a bar. Amounts are in fen. */
export function ranking(labels: string[], name: string, values: number[], isMoney: boolean): Drawing {
  return {
    ...BASE,
    grid: { ...BASE.grid, top: 8, right: 24 },
    tooltip: {
      trigger: 'axis',
      axisPointer: { type: 'shadow' },
      confine: true,
      ...(isMoney && { valueFormatter: yuanOf }),
    },
    xAxis: {
      type: 'value',
      min: 0,
      ...(isMoney ? { axisLabel: { formatter: roughly, hideOverlap: true } } : { minInterval: 1 }),
    },
    yAxis: {
      type: 'category',
      inverse: true,
      data: labels,
      axisTick: { show: false },
      axisLabel: { width: 130, overflow: 'truncate' },
    },
    series: [{ type: 'bar', name, data: values, color: GREEN, barMaxWidth: 22 }],
  };
}
