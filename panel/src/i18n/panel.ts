/** The words of the panel's own pages. */
import { add } from '.';
import { board } from './board';
import { dashboard } from './dashboard';
import { menu } from './menu';
import { office } from './office';
import { orders } from './orders';

add({ board, orders, menu, dashboard, office });
