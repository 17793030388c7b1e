/** Has the browser keep a file that came with a token, which a link could not send. */
export function download(file: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  // The browser has it by then.
  window.setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
