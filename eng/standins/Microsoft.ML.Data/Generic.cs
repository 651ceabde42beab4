using System.Reflection;

namespace Microsoft.ML.Data;

/// <summary>Calls a generic static method for types known at run time only.</summary>
internal static class Generic
{
    public static TResult Invoke<TResult>(Type owner, string method, Type[] types, params object[] arguments)
    {
        const BindingFlags Static = BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.Public;
        return (TResult)owner.GetMethod(method, Static).MakeGenericMethod(types).Invoke(null, BindingFlags.DoNotWrapExceptions, null, arguments, null);
    }
}
