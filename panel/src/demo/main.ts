/** The demo: a customer's page over the public API. */
import { createApp } from 'vue';
import Demo from './Demo.vue';
import { i18n, language, speak } from '@/i18n';

speak(language());
createApp(Demo).use(i18n).mount('#app');
