using System.Collections;

namespace TorchSharp.Utils;

/// <summary>A dictionary that is listed in the order of insertion.</summary>
public class OrderedDict<TKey, TValue> : IDictionary<TKey, TValue>, IList<(TKey, TValue)>
{
    private readonly List<(TKey, TValue)> _list = [];
    private readonly Dictionary<TKey, TValue> _byKey = [];

    public (TKey, TValue) this[int index]
    {
        get => _list[index];
        set => throw new NotImplementedException();
    }

    public TValue this[TKey key]
    {
        get => _byKey[key];
        set
        {
            int at = _list.FindIndex(p => p.Item1.Equals(key));
            if (at < 0) _list.Add((key, value));
            else _list[at] = (key, value);
            _byKey[key] = value;
        }
    }

    public bool IsReadOnly => false;
    public int Count => _list.Count;
    public ICollection<TKey> Keys => [.. _list.Select(p => p.Item1)];
    public ICollection<TValue> Values => [.. _list.Select(p => p.Item2)];

    public void Add((TKey, TValue) item) => Add(item.Item1, item.Item2);
    public void Add(KeyValuePair<TKey, TValue> item) => Add(item.Key, item.Value);

    public void Add(TKey key, TValue value)
    {
        _byKey.Add(key, value);
        _list.Add((key, value));
    }

    internal bool TryAdd(TKey key, TValue value)
    {
        if (!_byKey.TryAdd(key, value)) return false;
        _list.Add((key, value));
        return true;
    }

    public void Clear()
    {
        _list.Clear();
        _byKey.Clear();
    }

    public bool ContainsKey(TKey key) => _byKey.ContainsKey(key);
    public bool TryGetValue(TKey key, out TValue value) => _byKey.TryGetValue(key, out value);
    public bool Contains((TKey, TValue) item) => _list.Contains(item);
    public bool Contains(KeyValuePair<TKey, TValue> item) => _byKey.Contains(item);
    public int IndexOf((TKey, TValue) item) => _list.IndexOf(item);

    public bool Remove(TKey key)
    {
        if (!_byKey.Remove(key)) return false;
        _list.RemoveAt(_list.FindIndex(p => p.Item1.Equals(key)));
        return true;
    }

    public bool Remove((TKey, TValue) item) => Contains(item) && Remove(item.Item1);
    public bool Remove(KeyValuePair<TKey, TValue> item) => Contains(item) && Remove(item.Key);
    public void RemoveAt(int index) => Remove(_list[index].Item1);

    public void Insert(int index, (TKey, TValue) item)
    {
        _byKey.Add(item.Item1, item.Item2);
        _list.Insert(index, item);
    }

    public void CopyTo((TKey, TValue)[] array, int arrayIndex) => _list.CopyTo(array, arrayIndex);
    public void CopyTo(KeyValuePair<TKey, TValue>[] array, int arrayIndex) => ((ICollection<KeyValuePair<TKey, TValue>>)_byKey).CopyTo(array, arrayIndex);

    public IEnumerator<(TKey, TValue)> GetEnumerator() => _list.GetEnumerator();
    IEnumerator IEnumerable.GetEnumerator() => _list.GetEnumerator();
    IEnumerator<KeyValuePair<TKey, TValue>> IEnumerable<KeyValuePair<TKey, TValue>>.GetEnumerator() => _list.Select(p => KeyValuePair.Create(p.Item1, p.Item2)).GetEnumerator();
}

/// <summary>Registers a field under another name than its own.</summary>
[AttributeUsage(AttributeTargets.Field)]
public class ComponentNameAttribute : Attribute
{
    public string Name { get; set; }
}
