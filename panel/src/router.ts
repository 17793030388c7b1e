/** The pages, and who may open them. */
import { ElMessage } from 'element-plus';
import { createRouter, createWebHistory, type RouteRecordRaw } from 'vue-router';
import { t } from './i18n';
import { end, may, session, whoAmI, type Permission } from './session';

declare module 'vue-router' {
  interface RouteMeta {
    /** What the role must permit. */
    needs?: Permission;
  }
}

const pages: RouteRecordRaw[] = [
  { path: 'board', name: 'board', component: () => import('./pages/board/Board.vue'), meta: { needs: 'read_orders' } },
  {
    path: 'orders',
    name: 'orders',
    component: () => import('./pages/orders/Orders.vue'),
    meta: { needs: 'read_orders' },
  },
  { path: 'menu', name: 'menu', component: () => import('./pages/menu/Menu.vue'), meta: { needs: 'read_menu' } },
  {
    path: 'dashboard',
    name: 'dashboard',
    component: () => import('./pages/dashboard/Dashboard.vue'),
    meta: { needs: 'read_statistics' },
  },
  {
    path: 'points',
    name: 'points',
    component: () => import('./pages/office/Points.vue'),
    meta: { needs: 'read_accounts' },
  },
  {
    path: 'alerts',
    name: 'alerts',
    component: () => import('./pages/office/Alerts.vue'),
    meta: { needs: 'read_orders' },
  },
  {
    path: 'settings',
    name: 'settings',
    component: () => import('./pages/office/Settings.vue'),
    meta: { needs: 'edit_settings' },
  },
  {
    path: 'staff',
    name: 'staff',
    component: () => import('./pages/office/Staff.vue'),
    meta: { needs: 'manage_staff' },
  },
  {
    path: 'trail',
    name: 'trail',
    component: () => import('./pages/office/Trail.vue'),
    meta: { needs: 'read_actions' },
  },
  {
    path: 'webhooks',
    name: 'webhooks',
    component: () => import('./pages/office/Webhooks.vue'),
    meta: { needs: 'edit_settings' },
  },
];

export const router = createRouter({
  history: createWebHistory('/admin/'),
  routes: [
    { path: '/login', name: 'login', component: () => import('./pages/LogIn.vue') },
    {
      path: '/',
      component: () => import('./layout/Shell.vue'),
      redirect: { name: 'board' },
      children: [...pages, { path: ':rest(.*)*', name: 'nowhere', component: () => import('./pages/Nowhere.vue') }],
    },
  ],
});

router.beforeEach(async (to) => {
  if (to.name === 'login') return true;
  const logIn = { name: 'login', query: to.fullPath === '/' ? {} : { to: to.fullPath } };
  if (session.kept === undefined) return logIn;
  if (session.me === undefined) {
    try {
      await whoAmI();
    } catch {
      // Without an answer nobody knows what may be shown: the page waits for one there. A token that is no longer good has ended the session by now.
      return logIn;
    }
  }
  if (to.meta.needs !== undefined && !may(to.meta.needs)) return { name: 'board' };
  return true;
});

/** How long a panel is open, in milliseconds, before what it lacks is put down to an upgrade: loading it anew does not help a new one. */
const OLD_MS = 10_000;

// After an upgrade, what an open panel has not loaded yet is gone: it is loaded anew, at the page that was wanted.
router.onError(async (_, to) => {
  const answer = await fetch('/admin/', { cache: 'no-store' }).catch(() => undefined);
  if (answer?.ok === true && performance.now() > OLD_MS) window.location.assign(router.resolve(to).href);
  else ElMessage.error(t('common.unreachable'));
});

/** Ends the session and asks for another. */
export function logOut(): void {
  end();
  void router.push({ name: 'login' });
}
