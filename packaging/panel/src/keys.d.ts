declare module "text-keys" {
  /** The keys of the first lines of the texts: of all that the daemon's words name. */
  const keys: string[];
  export default keys;
}
