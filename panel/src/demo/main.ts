/** The demo: a customer's page over the public API, and a model for whoever writes a mini-program. */
import './style.css';
import { createApp } from 'vue';
import { add, i18n, language, speak } from '@/i18n';
import { demo } from '@/i18n/demo';
import Demo from './Demo.vue';

add({ demo });
speak(language());
createApp(Demo).use(i18n).mount('#app');
