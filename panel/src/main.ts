/** The restaurant's panel. */
import 'element-plus/dist/index.css';
import './style.css';
import { createApp } from 'vue';
import App from './App.vue';
import { i18n, language, speak } from './i18n';
import './i18n/panel';
import { router } from './router';

speak(language());
createApp(App).use(i18n).use(router).mount('#app');
