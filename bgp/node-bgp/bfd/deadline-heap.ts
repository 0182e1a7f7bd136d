/** Whose deadline comes next: a binary heap whose members know their place, so that one whose deadline moves is moved in O(log n). */

export interface HeapMember {
  deadline: number;
  /** Kept by the heap; -1 outside. */
  heapIndex: number;
}

export class DeadlineHeap<T extends HeapMember> {
  readonly #members: T[] = [];

  get first(): T | undefined {
    return this.#members[0];
  }

  /** Inserts the member, or moves it after its deadline has changed. */
  place(member: T): void {
    if (member.heapIndex < 0) {
      member.heapIndex = this.#members.length;
      this.#members.push(member);
    }
    this.#sink(this.#rise(member.heapIndex));
  }

  remove(member: T): void {
    const index = member.heapIndex;
    if (index < 0) return;
    member.heapIndex = -1;
    const last = this.#members.pop()!;
    if (last === member) return;
    this.#put(last, index);
    this.#sink(this.#rise(index));
  }

  #rise(index: number): number {
    const member = this.#members[index]!;
    let at = index;
    while (at > 0) {
      const parentIndex = (at - 1) >> 1;
      const parent = this.#members[parentIndex]!;
      if (parent.deadline <= member.deadline) break;
      this.#put(parent, at);
      at = parentIndex;
    }
    this.#put(member, at);
    return at;
  }

  #sink(index: number): void {
    const member = this.#members[index]!;
    let at = index;
    for (;;) {
      let childIndex = 2 * at + 1;
      const left = this.#members[childIndex];
      if (left === undefined) break;
      const right = this.#members[childIndex + 1];
      if (right !== undefined && right.deadline < left.deadline) childIndex++;
      const child = this.#members[childIndex]!;
      if (child.deadline >= member.deadline) break;
      this.#put(child, at);
      at = childIndex;
    }
    this.#put(member, at);
  }

  #put(member: T, index: number): void {
    this.#members[index] = member;
    member.heapIndex = index;
  }
}
