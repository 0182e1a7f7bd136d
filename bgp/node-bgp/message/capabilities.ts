/** placeholder until the codec lands in the next commit */
export interface Capability {
  readonly kind: string;
}
